//! `worker shadow`.

use std::process::ExitCode;
use std::time::Duration;

use central_api_client::Client;
use clap::Args;
use tokio::time::{Instant, sleep_until};
use worker_config::{Override, PoolSettings, Settings};
use worker_core::handle::PluginKind;

use super::daemon_plan::workspace_plan;
use super::deployment::explained;
use super::sandboxing::policy_looked_at;
use super::settings::{self, Source};
use crate::console;
use crate::registry::{KINDS, Registry};
use crate::rendering::Renderer;
use crate::run::ErrorChain;
use crate::shadow::{Report, Shadow, Tally};
use crate::signals::StopSignals;

#[derive(Debug, Args)]
pub(super) struct ShadowArgs {
    /// The work pool to look on at, as WORKSPACE/NAME if it is in a workspace
    #[arg(long, short = 'p', value_name = "NAME")]
    pool: String,
    /// Kind of infrastructure; the pool's own if not given
    #[arg(long = "type", short = 't', value_name = "TYPE")]
    kind: Option<String>,
    /// End after so many seconds instead of with Ctrl-C
    #[arg(long = "for", value_name = "SECONDS")]
    time: Option<u64>,
    /// Print JSON, one line for each thing found
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ShadowArgs, from: Source) -> ExitCode {
    let done = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the async runtime cannot be started: {error}"))
        .and_then(|runtime| runtime.block_on(look_on(args, from)));
    match done {
        Ok(tally) if tally.is_clean() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(text) => settings::failed(&text),
    }
}

async fn look_on(args: &ShadowArgs, from: Source) -> Result<Tally, String> {
    let pools = Override::new("start.pool", vec![args.pool.clone()], "--pool");
    let (loaded, surroundings) = from.load_or_complain(vec![pools])?;
    let settings = &loaded.settings;
    // One pool is asked for, so one is there.
    let [pool] = settings.pools.as_slice() else { return Err("name one work pool".to_owned()) };
    let plan = workspace_plan(pool.workspace.as_deref(), settings, &surroundings.variables)?;
    let client = Client::new(plan.client).map_err(|error| ErrorChain(&error).to_string())?;
    let kind = kind(args, pool, &client).await?;
    let registry = Registry::new(plan.plugins);
    let policy = policy_looked_at(settings);
    let renderer = Renderer {
        client: &client,
        registry: &registry,
        settings: &plan.run_settings,
        sandbox: &pool.sandbox,
        policy: policy.as_ref(),
        worker_name: settings.worker.start.name.as_deref(),
        kind: Some(&kind),
    };
    let shadow = Shadow::new(&client, renderer, &pool.name, pool.prefetch);
    if !args.json {
        console::line(&format!(
            "Looking on at work pool '{}' as a worker of kind {kind} would; Ctrl-C ends it",
            args.pool
        ));
    }
    let tally = until_stopped(args, settings, shadow).await?;
    if args.json {
        let line = serde_json::json!({"summary": &tally});
        console::line(&line.to_string());
    } else {
        console::line(&tally.text());
    }
    Ok(tally)
}

async fn kind(args: &ShadowArgs, known: &PoolSettings, client: &Client) -> Result<String, String> {
    let pool = client.work_pool(&known.name).await;
    let pool = pool.map_err(|error| explained(&format!("the work pool '{}'", args.pool), &error))?;
    let said = args.kind.clone().or_else(|| known.worker_type.clone());
    let kind = said.unwrap_or(pool.pool_type);
    if KINDS.contains(&PluginKind::new(kind.as_str()).as_str()) {
        return Ok(kind);
    }
    let built = KINDS.join(", ");
    Err(format!(
        "work pool '{}' has type '{kind}', which this worker cannot execute. This build executes: {built}",
        args.pool
    ))
}

async fn until_stopped(args: &ShadowArgs, settings: &Settings, mut shadow: Shadow<'_>) -> Result<Tally, String> {
    let mut signals = StopSignals::take_over().map_err(|error| format!("signals cannot be taken over: {error}"))?;
    let end = args.time.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut tally = Tally::default();
    let mut is_away = false;
    loop {
        let next = Instant::now() + settings.prefect.worker.query;
        let looked = tokio::select! {
            looked = shadow.look() => looked,
            _ = signals.next() => return Ok(tally),
            () = at(end) => return Ok(tally),
        };
        match looked {
            Ok(reports) => {
                is_away = false;
                for report in &reports {
                    tally.add(report);
                    print(report, args.json)?;
                }
            }
            Err(error) if !is_away => {
                is_away = true;
                console::complaint(&format!("warning: the runs could not be listed: {}", ErrorChain(&error)));
            }
            Err(_) => {}
        }
        tokio::select! {
            () = sleep_until(next) => {}
            _ = signals.next() => return Ok(tally),
            () = at(end) => return Ok(tally),
        }
    }
}

async fn at(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}

fn print(report: &Report, as_json: bool) -> Result<(), String> {
    let line = if as_json {
        serde_json::to_string(report).map_err(|error| format!("it is no JSON: {error}"))?
    } else {
        report.text()
    };
    console::line(&line);
    Ok(())
}

//! `worker policy`: the rules that runs have to satisfy.

use std::collections::BTreeMap;
use std::process::ExitCode;

use camino::{Utf8Path, Utf8PathBuf};
use central_api_client::Client;
use clap::{ArgGroup, Args, Subcommand};
use rustix::process::geteuid;
use serde_json::{Value, json};
use worker_config::{STANDARD_POLICY_FILE, Settings};

use super::daemon_plan::workspace_plan;
use super::deployment::Named;
use super::exit_codes::{NOT_JUDGED, REFUSED};
use super::sandboxing::{pool_named, sandbox_of};
use super::settings::{self, Source};
use crate::policy::{Asked, Ruling};
use crate::registry::Registry;
use crate::rendering::Renderer;
use crate::run::ErrorChain;
use crate::{console, policy};

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Check a policy file, and print everything that is wrong with it
    Check {
        /// The file [default: the one in force]
        file: Option<Utf8PathBuf>,
    },
    /// Say whether a run would be allowed: exits with 0 if it is, with 1 if it is refused, with 2 if that cannot be told
    Test(TestArgs),
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["flow_run", "deployment", "file"])))]
pub(super) struct TestArgs {
    #[command(flatten)]
    of: Named,
    /// The workspace that it is in; that of Prefect's own settings if not given
    #[arg(long, value_name = "NAME")]
    workspace: Option<String>,
    /// What would be started, in the form that --json prints
    #[arg(long, value_name = "FILE")]
    file: Option<Utf8PathBuf>,
    /// Judge by this policy file instead of the one in force
    #[arg(long, value_name = "FILE")]
    policy: Option<Utf8PathBuf>,
    /// Print JSON: what would be started, and the judgement
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &PolicyCommand, from: Source) -> ExitCode {
    match command {
        PolicyCommand::Check { file } => settings::ended(check(file.as_deref(), from)),
        PolicyCommand::Test(args) => match test(args, from) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(REFUSED),
            Err(text) => {
                settings::complain(&text);
                ExitCode::from(NOT_JUDGED)
            }
        },
    }
}

/// Where the policy in force is.
fn in_force(settings: &Settings) -> &Utf8Path {
    settings.worker.policy_file.as_deref().unwrap_or(Utf8Path::new(STANDARD_POLICY_FILE))
}

fn check(file: Option<&Utf8Path>, from: Source) -> Result<String, String> {
    let loaded;
    let path = if let Some(path) = file {
        path
    } else {
        (loaded, _) = from.load_or_complain(Vec::new())?;
        in_force(&loaded.settings)
    };
    let policy_file = policy::file(path, geteuid().as_raw());
    let policy = policy_file.check().map_err(|errors| errors.to_string())?;
    // A draft may be anybody's; what a daemon is to believe may not.
    if let Err(errors) = policy_file.read() {
        if file.is_none() {
            return Err(errors.to_string());
        }
        console::complaint(&format!("warning: a daemon of this user would not use it: {errors}"));
    }
    let names: Vec<&str> = policy.rules.iter().map(|rule| rule.name.as_str()).collect();
    Ok(format!("{path} is valid. Its rules: {}", names.join(", ")))
}

fn test(args: &TestArgs, from: Source) -> Result<bool, String> {
    let (loaded, surroundings) = from.load_or_complain(Vec::new())?;
    let settings = &loaded.settings;
    let path = args.policy.as_deref().unwrap_or_else(|| in_force(settings));
    let policy_file = policy::file(path, geteuid().as_raw());
    let read = if args.policy.is_some() { policy_file.check() } else { policy_file.read() };
    let policy = read.map_err(|errors| errors.to_string())?;
    let asked = match &args.file {
        Some(file) => read_asked(file)?,
        None => asked_of_api(args, settings, &surroundings.variables)?,
    };
    let ruling = asked.judged_by(&policy);
    say(args.json, &asked, &ruling)?;
    Ok(ruling.judgement.refused.is_none())
}

fn read_asked(file: &Utf8Path) -> Result<Asked, String> {
    let text = fs_err::read_to_string(file).map_err(|error| error.to_string())?;
    let json: Value = serde_json::from_str(&text).map_err(|error| format!("{file} is not JSON: {error}"))?;
    // What --json prints has the judgement beside it.
    let asked = json.get("asked").cloned().unwrap_or(json);
    serde_json::from_value(asked)
        .map_err(|error| format!("{file} is not what `worker policy test --json` prints: {error}"))
}

fn say(as_json: bool, asked: &Asked, ruling: &Ruling) -> Result<(), String> {
    let Ruling { judgement, signatures } = ruling;
    if as_json {
        let said = json!({ "asked": asked, "judgement": judgement, "signatures": signatures });
        let text = serde_json::to_string_pretty(&said);
        console::line(&text.map_err(|error| format!("the judgement is no JSON: {error}"))?);
        return Ok(());
    }
    let whose = asked.deployment.as_deref().unwrap_or("a run without a deployment");
    let (word, pool, kind) =
        (if judgement.refused.is_some() { "refused" } else { "allowed" }, &asked.pool, &asked.kind);
    console::line(&format!("{word}: {whose} in the pool '{pool}' ({kind})"));
    if let Some(objection) = &judgement.refused {
        console::line(&objection.for_people());
    }
    ruling.remarks().for_each(|remark| console::line(&remark));
    Ok(())
}

fn asked_of_api(args: &TestArgs, settings: &Settings, variables: &BTreeMap<String, String>) -> Result<Asked, String> {
    let plan = workspace_plan(args.workspace.as_deref(), settings, variables)?;
    let client = Client::new(plan.client).map_err(|error| ErrorChain(&error).to_string())?;
    let registry = Registry::new(plan.plugins);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the async runtime cannot be started: {error}"))?;
    runtime.block_on(async {
        let target = args.of.target().ok_or_else(|| "name a deployment or a flow run".to_owned())?;
        let question = target.question(&client, None).await?;
        let pool = pool_named(settings, args.workspace.as_deref(), &question.pool.name);
        let renderer = Renderer {
            client: &client,
            registry: &registry,
            settings: &plan.run_settings,
            sandbox: sandbox_of(settings, pool),
            policy: None,
            worker_name: None,
            kind: pool.and_then(|pool| pool.worker_type.as_deref()),
        };
        renderer.render(&question).await.map(|rendering| rendering.asked).map_err(|error| error.for_people())
    })
}

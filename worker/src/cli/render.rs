//! `worker render`.

use std::fmt::Write as _;
use std::process::ExitCode;

use central_api_client::Client;
use clap::{ArgGroup, Args};
use serde_json::Value;

use super::daemon_plan::workspace_plan;
use super::deployment::{Named, Target};
use super::sandboxing::{policy_looked_at, pool_named, sandbox_of};
use super::settings::{self, Source};
use crate::console;
use crate::registry::Registry;
use crate::rendering::{Difference, Renderer, Rendering};
use crate::run::ErrorChain;

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["target", "flow_run", "deployment"])))]
pub(super) struct RenderArgs {
    /// A flow run by its id, or a deployment as FLOW/DEPLOYMENT
    #[arg(value_name = "RUN|DEPLOYMENT", value_parser = Target::parse)]
    target: Option<Target>,
    #[command(flatten)]
    of: Named,
    /// The workspace that it is in; that of Prefect's own settings if not given
    #[arg(long, value_name = "NAME")]
    workspace: Option<String>,
    /// Render for this work pool instead of its own
    #[arg(long, short = 'p', value_name = "NAME")]
    pool: Option<String>,
    /// Render for this kind of infrastructure instead of the pool's
    #[arg(long = "type", short = 't', value_name = "TYPE")]
    kind: Option<String>,
    /// Print what differs from what is there for the run now, whoever launched it; exits with 1 if something does
    #[arg(long)]
    diff: bool,
    /// Print JSON instead of YAML
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &RenderArgs, from: Source) -> ExitCode {
    let done = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the async runtime cannot be started: {error}"))
        .and_then(|runtime| runtime.block_on(render(args, from)));
    match done {
        Ok((text, is_same)) => {
            console::line(&text);
            if is_same { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(text) => settings::failed(&text),
    }
}

/// What to print, and whether nothing differs.
async fn render(args: &RenderArgs, from: Source) -> Result<(String, bool), String> {
    let (loaded, surroundings) = from.load_or_complain(Vec::new())?;
    let settings = &loaded.settings;
    let target = args.target.clone().or_else(|| args.of.target());
    let target = target.ok_or_else(|| "name a flow run or a deployment".to_owned())?;
    if args.diff && matches!(target, Target::Deployment(_)) {
        return Err("a deployment has nothing that is there to compare with. Name a flow run with --diff".to_owned());
    }
    let plan = workspace_plan(args.workspace.as_deref(), settings, &surroundings.variables)?;
    let client = Client::new(plan.client).map_err(|error| ErrorChain(&error).to_string())?;
    let question = target.question(&client, args.pool.as_deref()).await?;
    let registry = Registry::new(plan.plugins);
    let pool = pool_named(settings, args.workspace.as_deref(), &question.pool.name);
    let policy = policy_looked_at(settings);
    let renderer = Renderer {
        client: &client,
        registry: &registry,
        settings: &plan.run_settings,
        sandbox: sandbox_of(settings, pool),
        policy: policy.as_ref(),
        worker_name: settings.worker.start.name.as_deref(),
        kind: args.kind.as_deref().or_else(|| pool?.worker_type.as_deref()),
    };
    let no_json = |error| format!("it is no JSON: {error}");
    if args.diff {
        let compared = renderer.compare(&question).await.map_err(|error| error.for_people())?;
        if compared.is_empty() {
            return Err("nothing is there for the run, as far as can be seen from here: its infrastructure may be gone, belong \
                        to another user, or be on another machine"
                .to_owned());
        }
        let is_same = compared.iter().all(Vec::is_empty);
        let text = if args.json {
            serde_json::to_string_pretty(&compared).map_err(no_json)?
        } else {
            compared.iter().map(|differences| differing(differences)).collect::<Vec<_>>().join("\n\n")
        };
        return Ok((text, is_same));
    }
    let rendering = renderer.render(&question).await.map_err(|error| error.for_people())?;
    let text = if args.json { serde_json::to_string_pretty(&rendering).map_err(no_json)? } else { yaml(&rendering)? };
    Ok((text, true))
}

/// What differs, with what is there marked by `-` and what would be launched by `+`.
fn differing(differences: &[Difference]) -> String {
    if differences.is_empty() {
        return "nothing differs".to_owned();
    }
    let lines = differences.iter().map(|Difference { path, ours, theirs }| format!("{path}\n- {theirs}\n+ {ours}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// YAML whose comments say where each value comes from.
fn yaml(rendering: &Rendering) -> Result<String, String> {
    let no_yaml = |error| format!("it is no YAML: {error}");
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        let _infallible = writeln!(text, "{key}: {}", Value::from(value));
    };
    line("flow_run", &rendering.flow_run);
    if let Some(deployment) = &rendering.deployment {
        line("deployment", deployment);
    }
    line("pool", &rendering.pool);
    line("kind", &rendering.kind);
    line("code", &rendering.code);
    if let Some(ruling) = &rendering.policy {
        line("policy", &ruling.text());
    }
    text.push_str("\n# What would be started\nplan:\n");
    let plan = serde_saphyr::to_string(&rendering.plan).map_err(no_yaml)?;
    for line in plan.lines() {
        let _infallible = writeln!(text, "  {line}");
    }
    text.push_str("\n# The job configuration, and where each value comes from\nvalues:\n");
    for shown in &rendering.values {
        let key = serde_json::to_string(&shown.path).map_err(|error| format!("it is no JSON: {error}"))?;
        let _infallible = writeln!(text, "  {key}: {}  # {}", shown.value, shown.from.join("; "));
    }
    Ok(text.trim_end().to_owned())
}

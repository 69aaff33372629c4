//! `worker policy`: the rules that runs have to satisfy.

use std::collections::BTreeMap;
use std::process::ExitCode;

use camino::{Utf8Path, Utf8PathBuf};
use central_api_client::Client;
use central_api_wire::deployment::Deployment;
use clap::{ArgGroup, Args, Subcommand};
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;
use worker_config::{STANDARD_POLICY_FILE, Settings};
use worker_core::handle::PluginKind;
use worker_core::ids::{LaunchKey, TransitionId};
use worker_core::policy::{CodeStep, Judgement, Policy, Request, Requested, RequiredSignature, Signers, Subject};
use worker_core::spec::RunSpec;

use super::daemon_plan::{client_settings, plugin_settings, run_settings};
use super::deployment::Named;
use super::exit_codes::{NOT_JUDGED, REFUSED};
use super::settings::{self, Source};
use crate::configuring::Configuring;
use crate::registry::Registry;
use crate::rendering::Question;
use crate::run::{ErrorChain, RunSettings};
use crate::{console, policy, pulling, references};

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

/// What is judged: the same form on the way in and out.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    kind: String,
    pool: String,
    #[serde(default)]
    deployment: Option<String>,
    #[serde(default)]
    infrastructure: Requested,
    #[serde(default)]
    code: Vec<CodeStep>,
}

impl Asked {
    fn subject(&self) -> Subject {
        Subject { kind: self.kind.clone(), pool: self.pool.clone(), deployment: self.deployment.clone() }
    }
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
        None => asked_of_api(&args.of, settings, &surroundings.variables)?,
    };
    let judgement = judge(&policy, &asked);
    say(args.json, &asked, &judgement, &policy.signatures(&asked.subject()))?;
    Ok(judgement.refused.is_none())
}

fn read_asked(file: &Utf8Path) -> Result<Asked, String> {
    let text = fs_err::read_to_string(file).map_err(|error| error.to_string())?;
    let json: Value = serde_json::from_str(&text).map_err(|error| format!("{file} is not JSON: {error}"))?;
    // What --json prints has the judgement beside it.
    let asked = json.get("asked").cloned().unwrap_or(json);
    serde_json::from_value(asked)
        .map_err(|error| format!("{file} is not what `worker policy test --json` prints: {error}"))
}

/// In the order of a daemon: infrastructure, code.
fn judge(policy: &Policy, asked: &Asked) -> Judgement {
    let subject = asked.subject();
    let of_infrastructure = policy.judge(&subject, Request::Infrastructure(&asked.infrastructure));
    let of_code = policy.judge(&subject, Request::Code(&asked.code));
    Judgement {
        refused: of_infrastructure.refused.or(of_code.refused),
        reported: of_infrastructure.reported.into_iter().chain(of_code.reported).collect(),
    }
}

fn say(as_json: bool, asked: &Asked, judgement: &Judgement, signatures: &[RequiredSignature]) -> Result<(), String> {
    if as_json {
        let text =
            serde_json::to_string_pretty(&json!({ "asked": asked, "judgement": judgement, "signatures": signatures }));
        console::line(&text.map_err(|error| format!("the judgement is no JSON: {error}"))?);
        return Ok(());
    }
    let whose = asked.deployment.as_deref().unwrap_or("a run without a deployment");
    for objection in &judgement.reported {
        console::line(&format!("reported by the rule `{}`: {}", objection.rule, objection.why));
    }
    match &judgement.refused {
        None => console::line(&format!("allowed: {whose} in the pool '{}' ({})", asked.pool, asked.kind)),
        Some(objection) => {
            console::line(&format!("refused: {whose} in the pool '{}' ({})", asked.pool, asked.kind));
            console::line(&objection.for_people());
        }
    }
    // Nothing is fetched here.
    if asked.code.iter().any(|step| step.is_verifiable) {
        for required in signatures {
            let would = if required.only_reports { "would report" } else { "refuses" };
            let (rule, by) = (&required.rule, keys(&required.by));
            console::line(&format!(
                "the rule `{rule}` {would} it unless its commit, found when it is pulled, is signed by {by}"
            ));
        }
    }
    Ok(())
}

/// Where the keys are.
fn keys(by: &Signers) -> String {
    let files: Vec<String> =
        [&by.ssh_allowed_signers, &by.gpg_keyring].into_iter().flatten().map(ToString::to_string).collect();
    format!("a key of {}", files.join(" or "))
}

fn asked_of_api(of: &Named, settings: &Settings, variables: &BTreeMap<String, String>) -> Result<Asked, String> {
    let client = client_settings(&settings.prefect, settings.worker.client_certificate.as_ref())?;
    let client = Client::new(client).map_err(|error| ErrorChain(&error).to_string())?;
    let registry = Registry::new(plugin_settings(settings, variables)?);
    let run_settings = run_settings(settings, variables)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the async runtime cannot be started: {error}"))?;
    runtime.block_on(ask(&client, of, &registry, &run_settings))
}

async fn ask(client: &Client, of: &Named, registry: &Registry, settings: &RunSettings) -> Result<Asked, String> {
    let target = of.target().ok_or_else(|| "name a deployment or a flow run".to_owned())?;
    let Question { pool, deployment, flow, flow_run } = target.question(client, None).await?;
    let plugin = registry
        .plugin(&PluginKind::new(pool.pool_type.clone()))
        .ok_or_else(|| {
            format!(
                "the work pool '{}' is of the type '{}', which this worker does not have",
                pool.name, pool.pool_type
            )
        })?
        .plugin;
    let configuring = Configuring {
        key: LaunchKey { run: flow_run.id, claim: TransitionId(Uuid::nil()) },
        plugin: &*plugin,
        settings,
        worker_name: "policy-test",
        worker_id: None,
        pool: &pool,
        flow_run: &flow_run,
        flow: &flow,
        deployment: deployment.as_ref(),
    };
    let value = |reference| async move { references::value(client, &reference).await };
    let spec = configuring.spec(value).await?;
    let spec =
        spec.map_err(|error| format!("the job configuration is not valid: {}. {}", ErrorChain(&error), error.hint()))?;
    let plan = plugin.prepare(&spec).await.map_err(|error| ErrorChain(&error).to_string())?;
    let code = match &deployment {
        Some(deployment) => steps(client, deployment, &spec, &*plugin, settings).await?,
        None => Vec::new(),
    };
    Ok(Asked {
        kind: plugin.kind().as_str().to_owned(),
        pool: pool.name.clone(),
        deployment: deployment.map(|deployment| format!("{}/{}", flow.name, deployment.name)),
        infrastructure: plan.requested,
        code,
    })
}

/// The steps as a daemon would judge them.
async fn steps(
    client: &Client,
    deployment: &Deployment,
    spec: &RunSpec,
    plugin: &dyn infra_contract::InfraPlugin,
    settings: &RunSettings,
) -> Result<Vec<CodeStep>, String> {
    if !pulling::starts_the_engine(spec) {
        return Ok(policy::code::of_deployment(deployment));
    }
    let site = pulling::site(plugin, &settings.worker_environment, spec);
    let planned =
        pulling::plan(deployment, &site, |reference| async move { references::fetch(client, &reference).await })
            .await?;
    Ok(planned.map_or_else(|_| policy::code::of_deployment(deployment), |pull| policy::code::of_pull(&pull)))
}

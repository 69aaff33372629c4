//! `worker doctor`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use central_api_client::Client;
use clap::Args;
use clap::builder::PossibleValuesParser;
use futures::future::{join, join_all, join3};
use tokio::time::Instant;
use worker_config::{Override, Settings};

use super::daemon_plan::{plugin_settings, uses_own_api, workspace_plan};
use super::deployment::DeploymentName;
use super::doctor_api::{Api, Foreseen};
use super::settings::{self, Source};
use crate::console;
use crate::doctor::{self, Check, MachineUnderLook};
use crate::registry::{KINDS, Registry};
use crate::run::ErrorChain;

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Kind of infrastructure to look at; repeat it for several [default: those of the pools, else all]
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(KINDS))]
    kind: Vec<String>,
    /// Look at this work pool and what it needs; repeat it for several
    #[arg(long, short = 'p', value_name = "NAME")]
    pool: Vec<String>,
    /// Look whether the code of this deployment could be brought, as FLOW/DEPLOYMENT or by its id; brings nothing
    #[arg(long, value_name = "NAME", value_parser = DeploymentName::parse, conflicts_with = "local")]
    deployment: Option<DeploymentName>,
    /// The workspace of the deployment; that of Prefect's own settings if not given
    #[arg(long, value_name = "NAME", requires = "deployment")]
    workspace: Option<String>,
    /// Look at this machine and its infrastructure only, and ask no API
    #[arg(long)]
    local: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &DoctorArgs, from: Source) -> ExitCode {
    match look(args, from) {
        Ok(code) => code,
        Err(text) => settings::failed(&text),
    }
}

fn look(args: &DoctorArgs, from: Source) -> Result<ExitCode, String> {
    let begun = Instant::now();
    let pools = (!args.pool.is_empty()).then(|| Override::new("start.pool", args.pool.clone(), "--pool"));
    let (loaded, surroundings) = from.load_or_complain(pools.into_iter().collect())?;
    if let Some(wanted) = &args.workspace
        && loaded.settings.workspaces.iter().all(|workspace| workspace.name != *wanted)
    {
        return Err(format!("no `[[workspace]]` table has the name `{wanted}`"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the async runtime cannot be started: {error}"))?;
    let visit = Visit {
        registry: Registry::new(plugin_settings(&loaded.settings, &surroundings.variables)?),
        settings: &loaded.settings,
        variables: &surroundings.variables,
    };
    let checks = runtime.block_on(visit.checks(args));
    // A look that ran out of time may still hold a thread, on a file system that hangs.
    runtime.shutdown_background();
    print(&checks, args.json, begun.elapsed())?;
    Ok(if doctor::is_well(&checks) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What one look is made with.
struct Visit<'a> {
    registry: Registry,
    settings: &'a Settings,
    variables: &'a BTreeMap<String, String>,
}

impl Visit<'_> {
    async fn checks(&self, args: &DoctorArgs) -> Vec<Check> {
        let names = if args.local { Vec::new() } else { self.workspaces(args) };
        let apis: Vec<_> = names.into_iter().map(|name| (self.open(name.as_deref()), name)).collect();
        let foreseen = join_all(apis.iter().map(async |(api, name)| match api {
            Ok(api) => api.foresee(args.deployment.as_ref().filter(|_| *name == args.workspace)).await,
            Err(_) => Foreseen { kinds: self.kinds_of(name.as_deref()), deployment: None },
        }))
        .await;
        let said = || self.settings.pools.iter().map(|pool| pool.worker_type.clone()).collect();
        let known = if args.local { said() } else { foreseen.iter().flat_map(|seen| seen.kinds.clone()).collect() };
        let kinds = kinds(args.kind.clone(), known);
        let on_machine = async {
            let machine =
                MachineUnderLook { state_dir: self.settings.worker.state_dir.clone(), run_limit: self.run_limit() };
            let (machine, kinds) =
                join(doctor::look_at_machine(&machine), doctor::look_at_kinds(&self.registry, &kinds)).await;
            let policy = doctor::look_at_policy(self.settings.worker.policy_file.as_deref());
            machine.into_iter().chain(policy).chain(kinds).collect::<Vec<_>>()
        };
        let at_apis = join_all(apis.iter().zip(foreseen).map(async |((api, name), foreseen)| {
            let checks = match api {
                Ok(api) => api.look(foreseen, self.settings).await,
                Err(check) => vec![check.clone()],
            };
            checks.into_iter().map(move |check| in_workspace(name.as_deref(), check))
        }));
        let collector = self.settings.worker.otlp.as_ref().filter(|_| !args.local);
        let at_collector = join_all(collector.into_iter().map(doctor::look_at_collector));
        let (at_apis, at_collector, on_machine) = Box::pin(join3(at_apis, at_collector, on_machine)).await;
        at_apis.into_iter().flatten().chain(at_collector).chain(on_machine).collect()
    }

    /// The APIs that pools are at, or all if there are no pools, and that of the deployment that is asked for.
    fn workspaces(&self, args: &DoctorArgs) -> Vec<Option<String>> {
        let pools = &self.settings.pools;
        let is_used = |name: &Option<String>| {
            pools.is_empty()
                || pools.iter().any(|pool| pool.workspace == *name)
                || args.deployment.is_some() && args.workspace == *name
        };
        let own = uses_own_api(self.settings) || is_used(&None) && !pools.is_empty();
        let named = self.settings.workspaces.iter().map(|workspace| Some(workspace.name.clone())).filter(is_used);
        own.then_some(None).into_iter().chain(named).collect()
    }

    /// An API, with a client that tries once.
    fn open(&self, name: Option<&str>) -> Result<Api<'_>, Check> {
        let plan = workspace_plan(name, self.settings, self.variables)
            .map_err(|text| Check::error("api", text, "or look at this machine alone with --local"))?;
        let mut connection = plan.client;
        connection.retry.max_retries = 0;
        let client = Client::new(connection.clone()).map_err(|error| unusable(&ErrorChain(&error).to_string()))?;
        let pools = self.settings.pools.iter().filter(|pool| pool.workspace.as_deref() == name).collect();
        let (registry, environment) = (Registry::new(plan.plugins), plan.run_settings.worker_environment);
        Ok(Api { client, connection, registry, environment, pools })
    }

    /// The types that the settings say.
    fn kinds_of(&self, workspace: Option<&str>) -> Vec<Option<String>> {
        let pools = self.settings.pools.iter().filter(|pool| pool.workspace.as_deref() == workspace);
        pools.map(|pool| pool.worker_type.clone()).collect()
    }

    /// The most runs of all pools together; none if one of them has no limit.
    fn run_limit(&self) -> Option<u64> {
        let limits = self.settings.pools.iter().map(|pool| u64::try_from(pool.limit?.get()).ok());
        limits.sum::<Option<u64>>().filter(|sum| *sum > 0)
    }
}

/// Says of which workspace a check is.
fn in_workspace(name: Option<&str>, check: Check) -> Check {
    match name {
        Some(workspace) => Check { name: format!("{workspace}: {}", check.name), ..check },
        None => check,
    }
}

fn unusable(text: &str) -> Check {
    Check::error(
        "api",
        format!("the connection to the API cannot be set up: {text}"),
        "correct the setting that is named",
    )
}

/// Those asked for; else those of the pools and of the deployment, if they are all known; else all.
fn kinds(asked_for: Vec<String>, known: Vec<Option<String>>) -> Vec<String> {
    let of_pools = || known.into_iter().collect::<Option<Vec<_>>>();
    let all = || KINDS.map(str::to_owned).to_vec();
    let wanted = if asked_for.is_empty() { of_pools().unwrap_or_default() } else { asked_for };
    let mut kinds: Vec<String> = Vec::new();
    for kind in if wanted.is_empty() { all() } else { wanted } {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

fn print(checks: &[Check], as_json: bool, took: Duration) -> Result<(), String> {
    let text = if as_json {
        serde_json::to_string_pretty(checks).map_err(|error| format!("what was found is no JSON: {error}"))?
    } else {
        format!("{}\n{} checks in {:.1} s", doctor::text(checks), checks.len(), took.as_secs_f64())
    };
    console::line(&text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_asked_for_go_before_those_of_the_pools_and_before_all() {
        let process = || Some("process".to_owned());
        let asked = vec!["docker".to_owned(), "docker".to_owned()];
        assert_eq!(kinds(asked, vec![process()]), ["docker"]);
        assert_eq!(kinds(Vec::new(), vec![process(), process()]), ["process"]);
        assert_eq!(kinds(Vec::new(), vec![process(), None]), KINDS);
        assert_eq!(kinds(Vec::new(), Vec::new()), KINDS);
    }
}

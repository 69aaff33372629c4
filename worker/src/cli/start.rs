//! `worker start`.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use secrecy::ExposeSecret;
use worker_config::{Override, OverrideValue, PrefectSettings, Settings};

use super::asking::{ask, somebody_is_there};
use super::daemon_plan::{daemon_plan, pool_plans, uses_own_api};
use super::exit_codes::{DRAIN_TIMED_OUT, STOPPED_AT_ONCE};
use super::run_api_key;
use super::settings::Source;
use crate::daemon::Stopped;
use crate::operator::{Changeable, Reading, Reloading};
use crate::redaction::KnownSecrets;
use crate::telemetry::LogLevel;
use crate::{console, daemon, failpoint, telemetry};

/// The options of `prefect worker start`, and a few of our own.
///
/// All are kept as text: the settings are read, checked and explained in one place, whatever layer they come from.
#[expect(clippy::doc_markdown, reason = "the text is the help, where backticks would be shown")]
#[derive(Debug, Args)]
pub struct StartArgs {
    /// Work pool to take runs from; repeat it to serve several [env: WORKER_START_POOL]
    #[arg(long, short = 'p', value_name = "NAME")]
    pool: Vec<String>,
    /// Name of this worker; if not given one is made up, and kept in the state directory [env: WORKER_START_NAME]
    #[arg(long, short = 'n')]
    name: Option<String>,
    /// Work queue to take runs from; repeat it for several, all if not given [env: WORKER_START_WORK_QUEUE]
    #[arg(long, short = 'q', value_name = "NAME")]
    work_queue: Vec<String>,
    /// Kind of infrastructure; the pool's own if not given [env: WORKER_START_TYPE]
    #[arg(long = "type", short = 't', value_name = "TYPE")]
    worker_type: Option<String>,
    /// How many seconds before they are due runs are taken [env: WORKER_START_PREFETCH_SECONDS]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    prefetch_seconds: Option<String>,
    /// Poll once, see the runs to their end, and stop [env: WORKER_START_RUN_ONCE]
    #[arg(long)]
    run_once: bool,
    /// Most runs of a pool at the same time [env: WORKER_START_LIMIT]
    #[arg(long, short = 'l', value_name = "N", allow_negative_numbers = true)]
    limit: Option<String>,
    /// Serve GET /health [env: WORKER_START_WITH_HEALTHCHECK]
    #[arg(long)]
    with_healthcheck: bool,
    /// Accepted and ignored: there is nothing to install [env: WORKER_START_INSTALL_POLICY]
    #[arg(long, value_name = "POLICY")]
    install_policy: Option<String>,
    /// JSON file with the base job template for a pool that has none [env: WORKER_START_BASE_JOB_TEMPLATE]
    #[arg(long, value_name = "FILE")]
    base_job_template: Option<String>,
    /// Make a pool that does not exist, which is the default [env: WORKER_START_CREATE_POOL_IF_NOT_FOUND]
    #[arg(long, overrides_with = "no_create_pool_if_not_found")]
    create_pool_if_not_found: bool,
    /// Wait for a pool that does not exist until somebody makes it
    #[arg(long)]
    no_create_pool_if_not_found: bool,
    /// Wait for an API that gives no sensible answer at the start, instead of failing [env: WORKER_API_WAIT_FOR_API]
    #[arg(long)]
    wait_for_api: bool,
}

impl StartArgs {
    /// The flags that were given, as the top layer of the settings.
    fn overrides(&self) -> Vec<Override> {
        let mut given = Vec::new();
        let mut add = |key: &str, flag: &str, value: Option<OverrideValue>| {
            given.extend(value.map(|value| Override::new(key, value, flag)));
        };
        let list = |items: &Vec<String>| (!items.is_empty()).then(|| items.clone().into());
        let text = |text: &Option<String>| text.clone().map(OverrideValue::from);
        let switch = |on: bool, value: bool| on.then(|| value.into());
        add("start.pool", "--pool", list(&self.pool));
        add("start.name", "--name", text(&self.name));
        add("start.work_queue", "--work-queue", list(&self.work_queue));
        add("start.type", "--type", text(&self.worker_type));
        add("start.prefetch_seconds", "--prefetch-seconds", text(&self.prefetch_seconds));
        add("start.run_once", "--run-once", switch(self.run_once, true));
        add("start.limit", "--limit", text(&self.limit));
        add("start.with_healthcheck", "--with-healthcheck", switch(self.with_healthcheck, true));
        add("start.install_policy", "--install-policy", text(&self.install_policy));
        add("start.base_job_template", "--base-job-template", text(&self.base_job_template));
        let create = "start.create_pool_if_not_found";
        add(create, "--create-pool-if-not-found", switch(self.create_pool_if_not_found, true));
        add(create, "--no-create-pool-if-not-found", switch(self.no_create_pool_if_not_found, false));
        add("api.wait_for_api", "--wait-for-api", switch(self.wait_for_api, true));
        given
    }
}

/// Starts the daemon and stays until it ends.
pub(super) fn run(args: &StartArgs, from: &Source) -> ExitCode {
    let code = match start(args, from) {
        Ok(Stopped::InOrder) => ExitCode::SUCCESS,
        Ok(Stopped::DrainTimedOut) => ExitCode::from(DRAIN_TIMED_OUT),
        Ok(Stopped::AtOnce) => ExitCode::from(STOPPED_AT_ONCE),
        Err(Complaint::Said) => ExitCode::FAILURE,
        Err(Complaint::Text(text)) => {
            console::complaint(&format!("error: {text}"));
            ExitCode::FAILURE
        }
    };
    console::finish();
    code
}

/// Why nothing was started, or why it ended.
enum Complaint {
    /// It has been said already.
    Said,
    /// It has not.
    Text(String),
}

fn start(args: &StartArgs, from: &Source) -> Result<Stopped, Complaint> {
    let mut overrides = args.overrides();
    let mut loaded = load(from, overrides.clone())?;
    if loaded.0.settings.pools.is_empty() {
        let pool = ask_for_pool().ok_or_else(|| Complaint::Text(NO_POOL.to_owned()))?;
        overrides.push(Override::new("start.pool", vec![pool], "--pool"));
        loaded = load(from, overrides.clone())?;
    }
    let (loaded, surroundings) = loaded;
    let settings = &loaded.settings;
    let secrets = known_secrets(settings, &surroundings.variables);
    let journal = surroundings.variables.get("JOURNAL_STREAM").map(String::as_str);
    let log = start_log(settings, journal, secrets.clone())?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    if let Some(missing) = settings.prefect.missing_api_url().filter(|_| uses_own_api(settings)) {
        return Err(Complaint::Text(missing.to_owned()));
    }
    failpoint::arm(&surroundings.variables);
    let plan = daemon_plan(settings, &surroundings.variables, secrets).map_err(Complaint::Text)?;
    let from = from.clone();
    let read = Arc::new(move || read_again(from.clone(), overrides.clone()));
    let reloading = Reloading { read, in_force: loaded.report().to_vec(), log };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // A burst of ends leaves threads behind, each with a piece of the heap of its own: they go sooner than in ten seconds.
        .thread_keep_alive(Duration::from_secs(1))
        .enable_all()
        .build()
        .map_err(|error| Complaint::Text(format!("the async runtime cannot be started: {error}")))?;
    let ended = runtime.block_on(daemon::run(plan, reloading));
    // What is still under way was given its time.
    runtime.shutdown_background();
    ended.map_err(|error| Complaint::Text(error.for_people()))
}

const NO_POOL: &str = "no work pool is given. Use --pool NAME, WORKER_START_POOL, or [[pool]] tables in worker.toml.";

fn load(
    from: &Source,
    overrides: Vec<Override>,
) -> Result<(worker_config::Loaded, worker_config::LoadFrom), Complaint> {
    from.clone().load(overrides).map_err(|errors| {
        errors.complain();
        Complaint::Said
    })
}

/// A person is asked; a script is not.
fn ask_for_pool() -> Option<String> {
    somebody_is_there().then(|| ask("What work pool should this worker take runs from?"))?
}

/// What of the settings a running daemon can change, as it is now.
fn read_again(from: Source, overrides: Vec<Override>) -> Result<Reading, Vec<String>> {
    let (loaded, _) = from.load(overrides).map_err(|error| error.problems())?;
    let settings = &loaded.settings;
    let shutdown = &settings.worker.shutdown;
    let pools = pool_plans(settings).map_err(|problem| vec![problem])?;
    Ok(Reading {
        changeable: Changeable {
            log: log_directives(settings),
            runs_at_stop: shutdown.runs,
            drain_timeout: shutdown.drain_timeout,
            max_runs: settings.worker.admission.max_runs.map(NonZeroUsize::get),
            pools,
        },
        report: loaded.report().to_vec(),
        warnings: loaded.warnings,
    })
}

/// What is secret before anything was asked of the API: the credentials for it, and what the environment holds.
fn known_secrets(settings: &Settings, variables: &BTreeMap<String, String>) -> KnownSecrets {
    let secrets = KnownSecrets::default();
    learn_api(&secrets, &settings.prefect);
    for workspace in &settings.workspaces {
        learn_api(&secrets, &workspace.prefect);
    }
    if let Some(collector) = &settings.worker.otlp {
        secrets.learn(collector.headers.iter().map(|(_, value)| value.expose_secret()));
        // `Bearer KEY` without its scheme, too.
        secrets.learn(collector.headers.iter().filter_map(|(_, value)| value.expose_secret().rsplit(' ').next()));
        secrets.learn(collector.endpoint.password());
    }
    let of_workspaces = settings.workspaces.iter().map(run_api_key::of_workspace);
    // One that cannot be read is complained of where it is needed.
    let of_runs = std::iter::once(run_api_key::of_own_api(settings)).chain(of_workspaces).flatten().flatten();
    secrets.learn(of_runs.collect::<Vec<_>>().iter().map(ExposeSecret::expose_secret));
    secrets.learn_variables(variables);
    secrets
}

fn learn_api(secrets: &KnownSecrets, prefect: &PrefectSettings) {
    let api = &prefect.api;
    let credentials = [&api.key, &api.auth_string].into_iter().flatten().map(ExposeSecret::expose_secret);
    // The password of `user:password` by itself, too.
    secrets.learn(credentials.flat_map(|secret| [secret, secret.split_once(':').map_or("", |(_, password)| password)]));
    secrets.learn(prefect.client.custom_headers.iter().map(|(_, value)| value.expose_secret()));
}

fn start_log(settings: &Settings, journal: Option<&str>, secrets: KnownSecrets) -> Result<LogLevel, Complaint> {
    console::start().map_err(|error| Complaint::Text(format!("the output threads cannot be started: {error}")))?;
    let (format, colors) = (settings.worker.log.format, settings.prefect.logging.colors);
    telemetry::start(&log_directives(settings), format, colors, journal, secrets).map_err(|error| {
        Complaint::Text(format!("`log.level` (WORKER_LOG_LEVEL) is not a level or a list of directives: {error}"))
    })
}

fn log_directives(settings: &Settings) -> String {
    settings.worker.log.level.clone().unwrap_or_else(|| prefect_level(settings))
}

/// Prefect's level, for our own lines; other libraries speak up only when something is wrong.
fn prefect_level(settings: &Settings) -> String {
    use worker_config::LogLevel;
    let level = if settings.prefect.worker.debug_mode { LogLevel::Debug } else { settings.prefect.logging.level };
    let ours = match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warning => "warn",
        LogLevel::Error | LogLevel::Critical => "error",
    };
    let crates = [
        "worker",
        "central_api_client",
        "code_storage",
        "infra_docker",
        "infra_kubernetes",
        "infra_process",
        "infra_scripted",
        "worker_config",
    ];
    let ours = crates.map(|name| format!("{name}={ours}")).join(",");
    format!("warn,{ours}")
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};
    use worker_config::KEYS;

    use super::super::Cli;

    #[test]
    fn every_setting_with_a_flag_has_the_flag_and_every_flag_names_its_variable() {
        let mut command = Cli::command();
        let start = command.find_subcommand_mut("start").unwrap();
        for key in KEYS {
            let Some(flag) = key.flag else { continue };
            let argument = start.get_arguments().find(|argument| argument.get_long() == flag.strip_prefix("--"));
            let help = argument.unwrap_or_else(|| panic!("{flag} is missing")).get_help().unwrap().to_string();
            assert!(help.contains(&format!("[env: {}]", key.variable)), "{flag} does not name {}", key.variable);
        }
    }

    #[test]
    fn the_options_of_prefect_worker_start_are_understood() {
        let arguments = "worker start -p a --pool b -n name -q q1 --work-queue q2 -t process --prefetch-seconds 5 --run-once \
                         -l 3 --with-healthcheck --install-policy always --base-job-template t.json \
                         --no-create-pool-if-not-found";
        let cli = Cli::try_parse_from(arguments.split_whitespace()).unwrap();
        let super::super::Command::Start(args) = cli.command else { panic!("not start") };
        let given: Vec<String> = args.overrides().iter().map(|given| given.key.clone()).collect();
        assert_eq!(given.len(), 11, "{given:?}");
        assert_eq!(args.pool, ["a", "b"]);
    }

    #[test]
    fn a_negative_limit_reaches_the_settings_which_explain_it() {
        assert!(Cli::try_parse_from(["worker", "start", "-p", "a", "--limit", "-1"]).is_ok());
    }
}

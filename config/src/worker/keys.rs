//! The one table of this daemon's own settings. `config/default.toml`, `docs/settings.md`, the environment variables and the
//! check of unknown keys all come from it.

mod containers;
mod isolation;
mod otlp;

pub(crate) use containers::*;
pub(crate) use isolation::*;
pub(crate) use otlp::*;

/// A setting of `worker.toml`.
#[derive(Debug)]
pub struct Key {
    /// Section and name: `process.python`.
    pub dotted: &'static str,
    /// The environment variable: `WORKER_` with section and name.
    pub variable: &'static str,
    /// What its value is.
    pub kind: KeyKind,
    /// Default, as TOML; `None` when the setting is unset by default.
    pub default: Option<&'static str>,
    /// An example, as TOML, for settings without a default.
    pub example: &'static str,
    /// The flag of `worker start` that sets it.
    pub flag: Option<&'static str>,
    /// What it does, in one or two sentences.
    pub doc: &'static str,
}

/// What the value of a setting is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// A string.
    Text,
    /// A name of a worker, pool or queue.
    Name,
    /// A path.
    Path,
    /// Seconds; fractions and zero are allowed.
    Seconds,
    /// Seconds; fractions are allowed, zero is not.
    Interval,
    /// Whole seconds.
    WholeSeconds,
    /// A whole number of at least one.
    Count,
    /// True or false.
    Bool,
    /// One of some words.
    Choice(&'static [&'static str]),
    /// One of some words, or a whole number of at least one.
    ChoiceOrCount(&'static [&'static str]),
    /// An array of names.
    Names,
    /// HTTP headers with their values.
    Headers,
    /// A string that is shown nowhere.
    Secret,
}

impl KeyKind {
    /// What an error or the reference calls such a value.
    pub fn wanted(self) -> String {
        let wanted = match self {
            Self::Text | Self::Name | Self::Secret => "a string",
            Self::Path => "a path",
            Self::Seconds | Self::Interval => "a number of seconds",
            Self::WholeSeconds => "a whole number of seconds",
            Self::Count => "a whole number",
            Self::Bool => "a boolean",
            Self::Names => "an array of strings",
            Self::Headers => "a table of headers",
            Self::Choice(words) => return format!("one of {}", words.join(", ")),
            Self::ChoiceOrCount(words) => return format!("one of {}, or a whole number", words.join(", ")),
        };
        wanted.to_owned()
    }
}

impl Key {
    /// Section of the file.
    pub fn section(&self) -> &'static str {
        self.dotted.split_once('.').map_or("", |(section, _)| section)
    }

    /// Name within the section.
    pub fn name(&self) -> &'static str {
        self.dotted.split_once('.').map_or(self.dotted, |(_, name)| name)
    }
}

/// What the environment variables of these settings begin with.
pub(crate) const PREFIX: &str = "WORKER_";
/// Words of `log.format`.
pub(crate) const LOG_FORMATS: &[&str] = &["auto", "human", "json"];
/// Words of `shutdown.runs`.
pub(crate) const RUNS_AT_STOP: &[&str] = &["auto", "leave", "wait", "stop"];
/// Words of `start.rerun_on`.
pub(crate) const RERUN_CAUSES: &[&str] = &["preempted", "oom", "node_lost", "submit_failed"];
/// Words of `start.late_policy`.
pub(crate) const LATE_POLICIES: &[&str] = &["all", "latest", "skip_older_than"];
/// Words of `start.install_policy`.
pub(crate) const INSTALL_POLICIES: &[&str] = &["always", "if-not-present", "never", "prompt"];

pub(super) const fn key(dotted: &'static str, variable: &'static str, kind: KeyKind) -> Key {
    Key { dotted, variable, kind, default: None, example: "", flag: None, doc: "" }
}

pub(crate) const PYTHON: Key = Key {
    example: "\"/opt/flows/.venv/bin/python\"",
    doc: "Python that runs flows as local processes: a path, or a name to look up on PATH. Unset: the one of VIRTUAL_ENV, \
          else `python3`.",
    ..key("process.python", "WORKER_PROCESS_PYTHON", KeyKind::Text)
};
pub(crate) const KILL_GRACE: Key = Key {
    default: Some("30"),
    doc: "How long a run that is cancelled may take to end before it is killed: a local process after SIGTERM, a container after \
          its stop signal.",
    ..key("process.kill_grace_seconds", "WORKER_PROCESS_KILL_GRACE_SECONDS", KeyKind::Seconds)
};
pub(crate) const CODE_CACHE: Key = Key {
    default: Some("true"),
    doc: "Whether code that the worker brings for local processes is kept for the next run, in `code-cache` of the state \
          directory: a mirror of each git repository, and files of object stores.",
    ..key("code.cache", "WORKER_CODE_CACHE", KeyKind::Bool)
};
pub(crate) const CODE_CACHE_SIZE: Key = Key {
    default: Some("10240"),
    doc: "The most that is kept, in MiB. What was used least recently goes first; what is in use stays.",
    ..key("code.cache_size_mib", "WORKER_CODE_CACHE_SIZE_MIB", KeyKind::Count)
};
pub(crate) const CODE_CACHE_AGE: Key = Key {
    default: Some("2592000"),
    doc: "How long code is kept that no run uses: 30 days.",
    ..key("code.cache_age_seconds", "WORKER_CODE_CACHE_AGE_SECONDS", KeyKind::WholeSeconds)
};
pub(crate) const CODE_OFFLINE: Key = Key {
    default: Some("false"),
    doc: "Whether a run gets the last commit that is known here of its branch when the git server cannot be reached. Its log and \
          its label `worker.code` say so. A server that refuses a login is no such case.",
    ..key("code.offline_fallback", "WORKER_CODE_OFFLINE_FALLBACK", KeyKind::Bool)
};
pub(crate) const CODE_TIMEOUT: Key = Key {
    default: Some("1800"),
    doc: "How long the fetch of one repository or folder may take, with all attempts.",
    ..key("code.timeout_seconds", "WORKER_CODE_TIMEOUT_SECONDS", KeyKind::Interval)
};
pub(crate) const SHUTDOWN_GRACE: Key = Key {
    default: Some("10"),
    doc: "How long local processes may take to end after SIGTERM when the daemon stops, before they are killed.",
    ..key("shutdown.grace_seconds", "WORKER_SHUTDOWN_GRACE_SECONDS", KeyKind::Seconds)
};
pub(crate) const SHUTDOWN_RUNS: Key = Key {
    default: Some("\"auto\""),
    doc: "What becomes of running local processes when the daemon stops. `leave`: they go on, and the next daemon takes them \
          over. `wait`: they may end by themselves for `drain_timeout_seconds`, and are stopped then. `stop`: they are stopped \
          at once. `auto`: `leave`, except where they would die with the daemon, in a container or in a systemd unit that \
          kills its whole group: there `wait`.",
    ..key("shutdown.runs", "WORKER_SHUTDOWN_RUNS", KeyKind::Choice(RUNS_AT_STOP))
};
pub(crate) const DRAIN_TIMEOUT: Key = Key {
    default: Some("15"),
    doc: "How long runs may take to end by themselves where they are waited for. With `grace_seconds` it has to fit into what \
          the service manager allows (TimeoutStopSec, terminationGracePeriodSeconds).",
    ..key("shutdown.drain_timeout_seconds", "WORKER_SHUTDOWN_DRAIN_TIMEOUT_SECONDS", KeyKind::Seconds)
};
pub(crate) const ADMISSION: Key = Key {
    default: Some("true"),
    doc: "Leave due runs where they are while this machine is short of memory or processors, so that many late runs do not take \
          it down.",
    ..key("admission.enabled", "WORKER_ADMISSION_ENABLED", KeyKind::Bool)
};
pub(crate) const ADMISSION_MEMORY: Key = Key {
    default: Some("90"),
    doc: "No run is started beside others while more than this share of the memory is in use, in per cent.",
    ..key("admission.max_memory_percent", "WORKER_ADMISSION_MAX_MEMORY_PERCENT", KeyKind::Count)
};
pub(crate) const ADMISSION_RUNNABLE: Key = Key {
    default: Some("4"),
    doc: "No run is started while the processors are under pressure and more than this many tasks for each of them want to run.",
    ..key("admission.max_runnable_per_core", "WORKER_ADMISSION_MAX_RUNNABLE_PER_CORE", KeyKind::Count)
};
pub(crate) const STARTS_PER_SECOND: Key = Key {
    example: "20",
    doc: "Most runs that are started in a second, over all pools. Unset: no limit.",
    ..key("admission.starts_per_second", "WORKER_ADMISSION_STARTS_PER_SECOND", KeyKind::Count)
};
pub(crate) const RERUN_ON: Key = Key {
    example: "[\"oom\", \"node_lost\"]",
    doc: "Execute a run once more when its infrastructure failed it in one of these ways: `preempted`, `oom`, `node_lost`, \
          `submit_failed`. Never after a failure of the flow's own code. Unset: never.",
    ..key("start.rerun_on", "WORKER_START_RERUN_ON", KeyKind::Names)
};
pub(crate) const RERUN_MAX: Key = Key {
    default: Some("1"),
    doc: "How often one run is executed once more at most, for the causes in `rerun_on`.",
    ..key("start.rerun_max", "WORKER_START_RERUN_MAX", KeyKind::Count)
};
pub(crate) const MAX_RUNS: Key = Key {
    example: "40",
    doc: "Most runs of all pools together at the same time; each pool's own `limit` counts as well. While it is reached, the pools \
          of the highest `priority` take the slots that become free. Unset: no limit.",
    ..key("admission.max_runs", "WORKER_ADMISSION_MAX_RUNS", KeyKind::Count)
};
pub(crate) const WAIT_FOR_API: Key = Key {
    default: Some("false"),
    flag: Some("--wait-for-api"),
    doc: "Wait for an API that cannot be reached yet instead of ending at start.",
    ..key("api.wait_for_api", "WORKER_API_WAIT_FOR_API", KeyKind::Bool)
};
pub(crate) const CLIENT_CERT: Key = Key {
    example: "\"/etc/worker/tls/client.pem\"",
    doc: "PEM file with the certificate (and chain) to show to the API, for mutual TLS. Needs `client_key`.",
    ..key("api.client_cert", "WORKER_API_CLIENT_CERT", KeyKind::Path)
};
pub(crate) const CLIENT_KEY: Key = Key {
    example: "\"/etc/worker/tls/client.key\"",
    doc: "PEM file with the private key of `client_cert`.",
    ..key("api.client_key", "WORKER_API_CLIENT_KEY", KeyKind::Path)
};
pub(crate) const CANCELLATION_POLL: Key = Key {
    default: Some("10"),
    doc: "How often to ask whether a run of this daemon was cancelled while there is no event stream that says so.",
    ..key("cancellation.poll_seconds", "WORKER_CANCELLATION_POLL_SECONDS", KeyKind::Interval)
};
pub(crate) const STATE_DIR: Key = Key {
    example: "\"/var/lib/worker\"",
    doc: "Directory of what must survive the daemon (its journal, what the API has not taken yet) and of the folders of runs. Several daemons may share it. Unset: \
          $STATE_DIRECTORY (systemd), else `worker` in $XDG_STATE_HOME, else `~/.local/state/worker`, else `/var/lib/worker`.",
    ..key("state.dir", "WORKER_STATE_DIR", KeyKind::Path)
};
pub(crate) const LOG_FORMAT: Key = Key {
    default: Some("\"auto\""),
    doc: "Form of the daemon's own log: `human`, or `json` with one object per line. `auto`: for people on a terminal, with \
          colours; for people and with priorities where systemd's journal takes the log; `json` everywhere else.",
    ..key("log.format", "WORKER_LOG_FORMAT", KeyKind::Choice(LOG_FORMATS))
};
pub(crate) const LOG_LEVEL: Key = Key {
    example: "\"info\"",
    doc: "Level of the daemon's own log: `error`, `warn`, `info`, `debug` or `trace`, also per module as in \
          `info,central_api_client=debug`. Unset: follows PREFECT_LOGGING_LEVEL.",
    ..key("log.level", "WORKER_LOG_LEVEL", KeyKind::Text)
};
pub(crate) const MONITORING_LISTEN: Key = Key {
    example: "\"127.0.0.1:9464\"",
    doc: "Address at which `/livez`, `/readyz`, `/health` and `/metrics` are served: HOST:PORT. Unset: none but those of \
          PREFECT_WORKER_WEBSERVER_… (with `--with-healthcheck`) and PREFECT_CLIENT_METRICS_…; in any case they are served on \
          the control socket in the state directory.",
    ..key("monitoring.listen", "WORKER_MONITORING_LISTEN", KeyKind::Text)
};
pub(crate) const POOL: Key = Key {
    example: "[\"default-pool\"]",
    flag: Some("--pool"),
    doc: "Work pools to take runs from. Unset: those of the `[[pool]]` tables.",
    ..key("start.pool", "WORKER_START_POOL", KeyKind::Names)
};
pub(crate) const NAME: Key = Key {
    example: "\"worker-1\"",
    flag: Some("--name"),
    doc: "Name of this worker in its pools. Unset: one is made up, and kept in the state directory.",
    ..key("start.name", "WORKER_START_NAME", KeyKind::Name)
};
pub(crate) const WORK_QUEUE: Key = Key {
    example: "[\"high\", \"default\"]",
    flag: Some("--work-queue"),
    doc: "Work queues to take runs from. Unset: all of the pool.",
    ..key("start.work_queue", "WORKER_START_WORK_QUEUE", KeyKind::Names)
};
pub(crate) const TYPE: Key = Key {
    example: "\"process\"",
    flag: Some("--type"),
    doc: "Type of infrastructure to run on. Unset: the pool's.",
    ..key("start.type", "WORKER_START_TYPE", KeyKind::Text)
};
pub(crate) const PREFETCH: Key = Key {
    example: "10",
    flag: Some("--prefetch-seconds"),
    doc: "How far ahead of their time runs are fetched. Unset: PREFECT_WORKER_PREFETCH_SECONDS.",
    ..key("start.prefetch_seconds", "WORKER_START_PREFETCH_SECONDS", KeyKind::WholeSeconds)
};
pub(crate) const PICK_UP_EVENTS: Key = Key {
    default: Some("true"),
    doc: "Ask for runs at once when the API's event stream tells that some became Scheduled. `false`: only at an interval, \
          PREFECT_WORKER_QUERY_SECONDS.",
    ..key("start.pick_up_events", "WORKER_START_PICK_UP_EVENTS", KeyKind::Bool)
};
pub(crate) const RUN_ONCE: Key = Key {
    default: Some("false"),
    flag: Some("--run-once"),
    doc: "Poll once, see the runs found to their end, and end.",
    ..key("start.run_once", "WORKER_START_RUN_ONCE", KeyKind::Bool)
};
pub(crate) const LIMIT: Key = Key {
    example: "10",
    flag: Some("--limit"),
    doc: "Most runs of a pool at the same time. Unset: no limit.",
    ..key("start.limit", "WORKER_START_LIMIT", KeyKind::Count)
};
pub(crate) const WITH_HEALTHCHECK: Key = Key {
    default: Some("false"),
    flag: Some("--with-healthcheck"),
    doc: "Serve health checks at PREFECT_WORKER_WEBSERVER_HOST and _PORT.",
    ..key("start.with_healthcheck", "WORKER_START_WITH_HEALTHCHECK", KeyKind::Bool)
};
pub(crate) const INSTALL_POLICY: Key = Key {
    default: Some("\"prompt\""),
    flag: Some("--install-policy"),
    doc: "Accepted for compatibility, without effect: there is nothing to install.",
    ..key("start.install_policy", "WORKER_START_INSTALL_POLICY", KeyKind::Choice(INSTALL_POLICIES))
};
pub(crate) const BASE_JOB_TEMPLATE: Key = Key {
    example: "\"template.json\"",
    flag: Some("--base-job-template"),
    doc: "JSON file with the base job template of a pool that is created. Unset: the type's own.",
    ..key("start.base_job_template", "WORKER_START_BASE_JOB_TEMPLATE", KeyKind::Path)
};
pub(crate) const LATE_POLICY: Key = Key {
    default: Some("\"all\""),
    doc: "What becomes of scheduled runs that are late, as after an outage. `all`: they are executed. `latest`: of those of a \
          deployment with the same parameters only the latest is. `skip_older_than`: those are not that were due more than \
          `late_seconds` ago. A run that is skipped ends Cancelled, with the reason. Runs that were made by hand, are retried or \
          were resumed are always executed.",
    ..key("start.late_policy", "WORKER_START_LATE_POLICY", KeyKind::Choice(LATE_POLICIES))
};
pub(crate) const LATE_SECONDS: Key = Key {
    example: "3600",
    doc: "The bound of `skip_older_than`, which needs it.",
    ..key("start.late_seconds", "WORKER_START_LATE_SECONDS", KeyKind::WholeSeconds)
};
pub(crate) const POOL_SANDBOX: Key = Key {
    example: "\"small\"",
    doc: "Profile (`[[sandbox_profile]]`) by which local processes are kept apart that do not name another by the job variable \
          `sandbox`. Unset: `default`, which is the section `[sandbox]`.",
    ..key("start.sandbox", "WORKER_START_SANDBOX", KeyKind::Name)
};
pub(crate) const POOL_SANDBOX_ALLOW: Key = Key {
    example: "[\"small\", \"default\"]",
    doc: "Profiles that runs may name by the job variable `sandbox`, besides that of `sandbox`. A run that names another is \
          Crashed.",
    ..key("start.sandbox_allow", "WORKER_START_SANDBOX_ALLOW", KeyKind::Names)
};
pub(crate) const CREATE_POOL: Key = Key {
    default: Some("true"),
    flag: Some("--create-pool-if-not-found"),
    doc: "Create a pool that does not exist.",
    ..key("start.create_pool_if_not_found", "WORKER_START_CREATE_POOL_IF_NOT_FOUND", KeyKind::Bool)
};

/// All settings, in the order of the reference.
pub const KEYS: &[Key] = &[
    PYTHON,
    KILL_GRACE,
    ENVIRONMENT,
    ENVIRONMENT_ALLOW,
    WARM,
    SANDBOX_USER,
    SANDBOX_MEMORY,
    SANDBOX_CPU,
    SANDBOX_PROCESSES,
    SANDBOX_FILES,
    SANDBOX_TIME,
    SANDBOX_TMP,
    SANDBOX_PRIVILEGES,
    DOCKER_HOST,
    DOCKER_CLEANUP,
    DOCKER_CLEANUP_TTL,
    DOCKER_SECRETS,
    DOCKER_PULL_DEADLINE,
    KUBECONFIG,
    KUBERNETES_CONTEXT,
    KUBERNETES_SECRETS_AS,
    CREATE_DEADLINE,
    KUBERNETES_PULL_DEADLINE,
    START_DEADLINE,
    KUBERNETES_CLEANUP,
    KUBERNETES_CLEANUP_TTL,
    KUBERNETES_HOLD_SLOTS,
    INIT_IMAGE,
    CODE_CACHE,
    CODE_CACHE_SIZE,
    CODE_CACHE_AGE,
    CODE_OFFLINE,
    CODE_TIMEOUT,
    SHUTDOWN_RUNS,
    DRAIN_TIMEOUT,
    SHUTDOWN_GRACE,
    ADMISSION,
    ADMISSION_MEMORY,
    ADMISSION_RUNNABLE,
    STARTS_PER_SECOND,
    MAX_RUNS,
    WAIT_FOR_API,
    CLIENT_CERT,
    CLIENT_KEY,
    RUN_API_KEY,
    RUN_API_KEY_FILE,
    CANCELLATION_POLL,
    STATE_DIR,
    POLICY_FILE,
    AUDIT_FILE,
    AUDIT_REQUIRED,
    LOG_FORMAT,
    LOG_LEVEL,
    MONITORING_LISTEN,
    OTLP_ENABLED,
    OTLP_ENDPOINT,
    OTLP_TRACES_ENDPOINT,
    OTLP_HEADERS,
    OTLP_CA_FILE,
    OTLP_TIMEOUT,
    OTLP_SERVICE_NAME,
    OTLP_RESOURCE,
    POOL,
    NAME,
    WORK_QUEUE,
    TYPE,
    PREFETCH,
    PICK_UP_EVENTS,
    RUN_ONCE,
    LIMIT,
    WITH_HEALTHCHECK,
    INSTALL_POLICY,
    BASE_JOB_TEMPLATE,
    CREATE_POOL,
    RERUN_ON,
    RERUN_MAX,
    LATE_POLICY,
    LATE_SECONDS,
    POOL_SANDBOX,
    POOL_SANDBOX_ALLOW,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn variables_follow_from_sections_and_names() {
        for key in KEYS {
            let expected = format!("{PREFIX}{}_{}", key.section(), key.name()).to_ascii_uppercase();
            assert_eq!(key.variable, expected);
        }
        let distinct: BTreeSet<_> = KEYS.iter().map(|key| key.variable).collect();
        assert_eq!(distinct.len(), KEYS.len());
    }

    #[test]
    fn no_key_is_also_one_of_prefects() {
        for key in KEYS {
            assert!(crate::prefect::known::by_key(key.dotted).is_none(), "{}", key.dotted);
        }
    }
}

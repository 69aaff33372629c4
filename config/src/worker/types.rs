//! This daemon's own settings, typed.

use std::{num::NonZeroUsize, time::Duration};

use camino::Utf8PathBuf;

/// The settings of `worker.toml`.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Flows run as local processes.
    pub process: ProcessSettings,
    /// Flows run as containers.
    pub docker: DockerSettings,
    /// What happens when the daemon stops.
    pub shutdown: ShutdownSettings,
    /// When runs are left where they are.
    pub admission: AdmissionSettings,
    /// Wait for an API that cannot be reached yet.
    pub wait_for_api: bool,
    /// What the daemon shows to the API, for mutual TLS.
    pub client_certificate: Option<ClientCertificate>,
    /// Between two looks for cancelled runs.
    pub cancellation_poll: Duration,
    /// Directory of all that must survive a restart.
    pub state_dir: Utf8PathBuf,
    /// The daemon's own log.
    pub log: LogSettings,
    /// What `worker start` does.
    pub start: StartSettings,
}

/// `[process]`
#[derive(Debug, Clone)]
pub struct ProcessSettings {
    /// A path, or a name to look up on `PATH`; `None` leaves the choice to the plugin.
    pub python: Option<String>,
    /// Between SIGTERM and SIGKILL.
    pub kill_grace: Duration,
}

/// `[docker]`
#[derive(Debug, Clone)]
pub struct DockerSettings {
    /// Where the engine is; `None` finds it as the `docker` command does.
    pub host: Option<String>,
    /// What becomes of the container of a run that is over.
    pub cleanup: DockerCleanup,
    /// How long it is kept.
    pub cleanup_ttl: Duration,
    /// How secrets reach a container.
    pub secrets: DockerSecrets,
    /// A pull without progress is given up after this time.
    pub image_pull_deadline: Duration,
}

/// What becomes of the container of a run that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DockerCleanup {
    /// It is removed after a time.
    Ttl,
    /// It stays.
    Keep,
    /// It is removed.
    Remove,
}

/// How secrets reach a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DockerSecrets {
    /// In a file that the engine does not record.
    File,
    /// As plain environment variables.
    Environment,
}

/// `[shutdown]`
#[derive(Debug, Clone)]
pub struct ShutdownSettings {
    /// What becomes of running processes.
    pub runs: RunsAtStop,
    /// How long they are waited for.
    pub drain_timeout: Duration,
    /// How long they then have to end after SIGTERM.
    pub grace: Duration,
}

/// What becomes of running processes when the daemon stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunsAtStop {
    /// As the surroundings allow.
    Auto,
    /// They go on without it.
    Leave,
    /// They are waited for, within a bound.
    Wait,
    /// They are stopped.
    Stop,
}

/// `[admission]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionSettings {
    /// Whether the machine is looked at.
    pub enabled: bool,
    /// Share of the memory in use above which nothing is started, in per cent.
    pub max_memory_percent: NonZeroUsize,
    /// Tasks per processor that want to run above which nothing is started.
    pub max_runnable_per_core: NonZeroUsize,
    /// Most starts in a second.
    pub starts_per_second: Option<NonZeroUsize>,
}

/// PEM files for mutual TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Certificate and chain.
    pub certificate: Utf8PathBuf,
    /// Private key.
    pub key: Utf8PathBuf,
}

/// `[log]`
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// Form of the log.
    pub format: LogFormat,
    /// A filter such as `info,central_api_client=debug`; `None` follows Prefect's level.
    pub level: Option<String>,
}

/// Form of the daemon's own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people, with colours on a terminal.
    Auto,
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

/// `[start]`: what concerns the whole daemon. What concerns a pool is in [`PoolSettings`].
#[derive(Debug, Clone)]
pub struct StartSettings {
    /// Name of this worker in its pools; `None` has one made.
    pub name: Option<String>,
    /// Poll once and end.
    pub run_once: bool,
    /// Serve health checks.
    pub with_healthcheck: bool,
}

/// One work pool this daemon serves, with what is in force for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSettings {
    /// Name of the pool.
    pub name: String,
    /// Type of infrastructure; `None` takes the pool's.
    pub worker_type: Option<String>,
    /// Most runs at the same time; `None` is no limit.
    pub limit: Option<NonZeroUsize>,
    /// Queues to take runs from; empty takes all.
    pub work_queues: Vec<String>,
    /// How far ahead runs are fetched.
    pub prefetch: Duration,
    /// JSON file with the template of a pool that is created.
    pub base_job_template: Option<Utf8PathBuf>,
    /// Create the pool if it does not exist.
    pub create_if_not_found: bool,
    /// After which ends a run is executed once more: words of the setting.
    pub rerun_on: Vec<String>,
    /// How often at most.
    pub rerun_max: NonZeroUsize,
}

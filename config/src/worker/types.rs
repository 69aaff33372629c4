//! This daemon's own settings, typed.

use std::{num::NonZeroUsize, time::Duration};

use camino::Utf8PathBuf;

use super::{otlp::OtlpSettings, run_api_key::RunApiKey};

/// The settings of `worker.toml`.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Flows run as local processes.
    pub process: ProcessSettings,
    /// How they are kept apart.
    pub sandbox: SandboxSettings,
    /// The same by names, for those that are to be kept apart in another way.
    pub sandbox_profiles: Vec<SandboxProfile>,
    /// Flows run as containers.
    pub docker: DockerSettings,
    /// Flows run as Kubernetes Jobs.
    pub kubernetes: KubernetesSettings,
    /// How the code of flows is brought.
    pub code: CodeSettings,
    /// What happens when the daemon stops.
    pub shutdown: ShutdownSettings,
    /// When runs are left where they are.
    pub admission: AdmissionSettings,
    /// Wait for an API that cannot be reached yet.
    pub wait_for_api: bool,
    /// What the daemon shows to the API, for mutual TLS.
    pub client_certificate: Option<ClientCertificate>,
    /// The API key of runs, if they have one of their own.
    pub run_api_key: Option<RunApiKey>,
    /// The file with the rules that runs have to satisfy, if it is named.
    pub policy_file: Option<Utf8PathBuf>,
    /// The audit log.
    pub audit: AuditSettings,
    /// Between two looks for cancelled runs.
    pub cancellation_poll: Duration,
    /// Directory of all that must survive a restart.
    pub state_dir: Utf8PathBuf,
    /// The daemon's own log.
    pub log: LogSettings,
    /// Host and port at which health and metrics are served, besides those of Prefect's settings.
    pub monitoring: Option<(String, u16)>,
    /// Where traces of runs are sent, if they are.
    pub otlp: Option<OtlpSettings>,
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
    /// What runs get of the worker's environment.
    pub environment: ProcessEnvironmentMode,
    /// What they get of it besides: names, with `*`.
    pub environment_allow: Vec<String>,
    /// Whether runs start warm.
    pub warm: WarmStarts,
}

/// Whether local processes start warm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarmStarts {
    /// None does.
    Off,
    /// Those that can.
    Auto,
    /// Those that can, from so many preloaded interpreters.
    Kept(NonZeroUsize),
}

/// What local processes get of the worker's environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessEnvironmentMode {
    /// What programs need of their surroundings.
    Clean,
    /// All of it.
    Inherit,
}

/// `[sandbox]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxSettings {
    /// Who they are executed as; `None` is the worker's user.
    pub user: Option<String>,
    /// Most memory, in bytes.
    pub max_memory: Option<u64>,
    /// Most of the processors, in per cent of one.
    pub max_cpu_percent: Option<NonZeroUsize>,
    /// Most processes and threads.
    pub max_processes: Option<NonZeroUsize>,
    /// Most open files of a process.
    pub max_open_files: Option<NonZeroUsize>,
    /// How long a run may take, in seconds.
    pub time_limit: Option<NonZeroUsize>,
    /// A `/tmp` of their own.
    pub private_tmp: bool,
    /// No program gives more rights.
    pub no_new_privileges: bool,
}

/// A `[[sandbox_profile]]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxProfile {
    /// Its name.
    pub name: String,
    /// What it says, over `[sandbox]`.
    pub sandbox: SandboxSettings,
}

/// Which profiles the runs of a pool may have. [`DEFAULT_SANDBOX`](crate::DEFAULT_SANDBOX) is `[sandbox]` itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SandboxChoice {
    /// That of runs that do not say; `None` is `[sandbox]`.
    pub default: Option<String>,
    /// Those that a run may name besides.
    pub allow: Vec<String>,
}

/// `[audit]`
#[derive(Debug, Clone)]
pub struct AuditSettings {
    /// Where lines are added; `None` is nowhere.
    pub file: Option<Utf8PathBuf>,
    /// Whether a run waits that cannot be written down.
    pub required: bool,
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

/// `[kubernetes]`. What Prefect's integration has settings for is in [`PrefectKubernetesSettings`].
///
/// [`PrefectKubernetesSettings`]: crate::PrefectKubernetesSettings
#[derive(Debug, Clone)]
pub struct KubernetesSettings {
    /// Where the cluster is and how to log in; `None` finds it as other programs do.
    pub kubeconfig: Option<Utf8PathBuf>,
    /// Context of the kubeconfig file; `None` is its current one.
    pub context: Option<String>,
    /// How secrets reach a pod.
    pub secrets: KubernetesSecrets,
    /// How long it is tried to create a Job.
    pub create_deadline: Duration,
    /// A pull that fails for so long is given up.
    pub image_pull_deadline: Duration,
    /// A start without progress is given up after this time; `None` is never.
    pub start_deadline: Option<Duration>,
    /// What becomes of the Job of a run that is over.
    pub cleanup: KubernetesCleanup,
    /// How long it is kept.
    pub cleanup_ttl: Duration,
    /// How long a run counts for the limit of its pool.
    pub hold_slots: HoldSlots,
    /// Image of the container that fetches code.
    pub init_image: Option<String>,
}

/// How secrets reach a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KubernetesSecrets {
    /// In a Secret that belongs to the Job.
    Secret,
    /// As plain environment variables.
    Environment,
}

/// What becomes of the Job of a run that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KubernetesCleanup {
    /// It stays.
    Keep,
    /// It is removed.
    Remove,
    /// It is removed after a time.
    Ttl,
}

/// How long a run counts for the limit of its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldSlots {
    /// Until it is over.
    UntilEnd,
    /// Until its infrastructure exists.
    UntilSubmitted,
}

/// `[code]`
#[derive(Debug, Clone)]
pub struct CodeSettings {
    /// Whether code is kept for the next run.
    pub cache: bool,
    /// The most that is kept, in MiB.
    pub cache_size_mib: NonZeroUsize,
    /// How long code is kept without being used.
    pub cache_age: Duration,
    /// Whether a run gets what was last known when the git server cannot be reached.
    pub offline_fallback: bool,
    /// How long one fetch may take.
    pub timeout: Duration,
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
    /// Most runs of all pools at the same time.
    pub max_runs: Option<NonZeroUsize>,
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
    /// By where the log goes: for people on a terminal and in systemd's journal, as JSON otherwise.
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
    /// Which profiles runs may have, of pools that do not say otherwise.
    pub sandbox: SandboxChoice,
}

/// One work pool this daemon serves, with what is in force for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSettings {
    /// Name of the pool.
    pub name: String,
    /// Name of the workspace that it is in; `None` for the API of Prefect's own settings.
    pub workspace: Option<String>,
    /// Which pool takes first while not all can: 1 before 2.
    pub priority: NonZeroUsize,
    /// Type of infrastructure; `None` takes the pool's.
    pub worker_type: Option<String>,
    /// Most runs at the same time; `None` is no limit.
    pub limit: Option<NonZeroUsize>,
    /// Queues to take runs from; empty takes all.
    pub work_queues: Vec<String>,
    /// How far ahead runs are fetched.
    pub prefetch: Duration,
    /// Ask for runs when the event stream tells of them.
    pub pick_up_events: bool,
    /// JSON file with the template of a pool that is created.
    pub base_job_template: Option<Utf8PathBuf>,
    /// Create the pool if it does not exist.
    pub create_if_not_found: bool,
    /// After which ends a run is executed once more: words of the setting.
    pub rerun_on: Vec<String>,
    /// How often at most.
    pub rerun_max: NonZeroUsize,
    /// What becomes of scheduled runs that are late.
    pub late: LatePolicy,
    /// Which profiles its runs may have.
    pub sandbox: SandboxChoice,
}

/// What becomes of scheduled runs that are late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LatePolicy {
    /// They are executed.
    All,
    /// Of those of a deployment that would do the same, the latest is.
    Latest,
    /// Those that were due longer ago are not.
    SkipOlderThan(Duration),
}

//! The Prefect settings a worker honours, typed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use camino::Utf8PathBuf;
use secrecy::SecretString;
use url::Url;

/// What a worker honours of the settings of the Prefect SDK, under the SDK's names.
#[derive(Debug, Clone)]
pub struct PrefectSettings {
    /// Prefect's home directory; `~/.prefect` unless set.
    pub home: Option<Utf8PathBuf>,
    /// Debug mode: more logging, also in flow runs.
    pub debug_mode: bool,
    /// The API to work for.
    pub api: ApiSettings,
    /// Prefect Cloud.
    pub cloud: CloudSettings,
    /// The HTTP client.
    pub client: ClientSettings,
    /// The worker.
    pub worker: PrefectWorkerSettings,
    /// How runs are executed.
    pub runner: RunnerSettings,
    /// Logging.
    pub logging: LoggingSettings,
    /// The Kubernetes integration.
    pub kubernetes: PrefectKubernetesSettings,
}

impl PrefectSettings {
    /// Whether the API belongs to Prefect Cloud: its URL begins with the Cloud API's.
    pub fn connected_to_cloud(&self) -> bool {
        let cloud = self.cloud.api_url.as_url().as_str().trim_end_matches('/');
        let api = self.api.url.as_ref().map(|url| url.as_url().as_str());
        api.is_some_and(|api| api.starts_with(cloud))
    }

    /// The most characters of one log record: Cloud takes less than a server of one's own.
    pub fn max_log_size(&self) -> usize {
        let own = self.logging.to_api.max_log_size;
        if self.connected_to_cloud() { own.min(self.cloud.max_log_size) } else { own }
    }

    /// What to tell an operator who starts a worker without an API; `None` when there is one.
    pub fn missing_api_url(&self) -> Option<&'static str> {
        self.api.url.is_none().then_some(
            "`PREFECT_API_URL` must be set to start a Worker.\n\
             Set it in one of these ways, the first found wins:\n  \
             environment or .env:   PREFECT_API_URL=http://127.0.0.1:4200/api\n  \
             prefect.toml:          [api]\n                         url = \"http://127.0.0.1:4200/api\"\n  \
             a profile:             prefect config set PREFECT_API_URL=http://127.0.0.1:4200/api",
        )
    }
}

/// How to reach and authenticate to the API.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Base URL, ending in `/api` as a rule.
    pub url: Option<ApiUrl>,
    /// `user:password` for basic authentication; wins over the key.
    pub auth_string: Option<SecretString>,
    /// Key for bearer authentication.
    pub key: Option<SecretString>,
    /// Trust any certificate.
    pub tls_insecure_skip_verify: bool,
    /// PEM file of the authorities to trust.
    pub ssl_cert_file: Option<Utf8PathBuf>,
    /// Speak HTTP/2.
    pub enable_http2: bool,
    /// Limit of one request's connect, write and read, each.
    pub request_timeout: Duration,
}

/// Prefect Cloud.
#[derive(Debug, Clone)]
pub struct CloudSettings {
    /// URLs that begin with this one are Cloud's.
    pub api_url: ApiUrl,
    /// Most characters of one log record there.
    pub max_log_size: usize,
}

/// The HTTP client.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Repetitions of a failed request.
    pub max_retries: u32,
    /// Share of jitter in the wait before a repetition; 0 is none.
    pub retry_jitter_factor: f64,
    /// Statuses to repeat a request on besides the usual ones.
    pub retry_extra_codes: BTreeSet<u16>,
    /// Fetch and send CSRF tokens.
    pub csrf_support_enabled: bool,
    /// Headers for every request, without those the client must set itself.
    pub custom_headers: Vec<(String, SecretString)>,
    /// Compare the server's version with the client's once.
    pub server_version_check_enabled: bool,
    /// Serve metrics.
    pub metrics_enabled: bool,
    /// Port of the metrics.
    pub metrics_port: u16,
}

/// `PREFECT_WORKER_…`
#[derive(Debug, Clone)]
pub struct PrefectWorkerSettings {
    /// Debug logging of the worker only.
    pub debug_mode: bool,
    /// Between two heartbeats.
    pub heartbeat: Duration,
    /// Between two polls.
    pub query: Duration,
    /// How far ahead runs are fetched.
    pub prefetch: Duration,
    /// Finish cancellations of runs that are still pending.
    pub enable_cancellation: bool,
    /// Between two looks for such runs while no event stream says so.
    pub cancellation_poll: Duration,
    /// Address of the health server.
    pub webserver_host: String,
    /// Port of the health server.
    pub webserver_port: u16,
}

/// `PREFECT_RUNNER_…`
#[derive(Debug, Clone)]
pub struct RunnerSettings {
    /// Kill runs when nothing can tell whether they were cancelled.
    pub crash_on_cancellation_failure: bool,
    /// Wrap commands in `uv run`.
    pub auto_install_dependencies: bool,
}

/// `PREFECT_LOGGING_…`
#[derive(Debug, Clone)]
pub struct LoggingSettings {
    /// Level of the console; debug mode makes it `DEBUG`.
    pub level: LogLevel,
    /// Colours on the console.
    pub colors: bool,
    /// Shipping to the API.
    pub to_api: LoggingToApiSettings,
}

/// `PREFECT_LOGGING_TO_API_…`
#[derive(Debug, Clone)]
pub struct LoggingToApiSettings {
    /// Ship at all.
    pub enabled: bool,
    /// Between two batches.
    pub batch_interval: Duration,
    /// Most bytes of a batch.
    pub batch_size: usize,
    /// Most characters of a record; see [`PrefectSettings::max_log_size`].
    pub max_log_size: usize,
}

/// A level of Prefect's logging.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// 10.
    Debug,
    /// 20.
    Info,
    /// 30.
    Warning,
    /// 40.
    Error,
    /// 50.
    Critical,
}

impl LogLevel {
    /// The name the SDK knows it by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
        }
    }
}

/// Settings of Prefect's Kubernetes integration. What it has for the retries of a Job's creation is checked and has no effect.
#[derive(Debug, Clone)]
pub struct PrefectKubernetesSettings {
    /// Whether Jobs and pods are watched also where this worker did not start them.
    pub observer_enabled: bool,
    /// Whether what happens to pods is told as events.
    pub replicate_pod_events: bool,
    /// Where to watch; empty is the whole cluster.
    pub namespaces: Vec<String>,
    /// Labels that what is watched must have besides that of a flow run.
    pub label_filters: BTreeMap<String, String>,
    /// Most questions at a time for events that were sent before.
    pub startup_event_concurrency: usize,
    /// Whether the output of a pod that crashed before its engine reported anything is put into the run's log.
    pub forward_crashed_run_logs: bool,
    /// How many lines of it.
    pub forward_crashed_run_logs_tail_lines: i64,
    /// Where the API key is, in the namespace of the run.
    pub api_key_secret: Option<SecretKeyRef>,
    /// Where the auth string is, in the namespace of the run.
    pub api_auth_string_secret: Option<SecretKeyRef>,
    /// Whether the worker makes a Secret with the API key.
    pub create_secret_for_api_key: bool,
    /// Whether the whole environment of a run goes into a Secret.
    pub store_env_as_secret: bool,
    /// Whether connections to the cluster are kept alive.
    pub tcp_keepalive: bool,
    /// The cluster's identity, if it is not to be asked for.
    pub cluster_uid: Option<String>,
}

/// A key of a Kubernetes Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretKeyRef {
    /// Name of the Secret.
    pub name: String,
    /// The key in it.
    pub key: String,
}

/// A URL of an API. May hold a password, which neither `Debug` nor `Display` shows.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiUrl(Url);

impl ApiUrl {
    pub(super) fn new(url: Url) -> Self {
        Self(url)
    }

    /// The URL itself, password and all.
    pub fn as_url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for ApiUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::mask::url_password(self.0.as_str()))
    }
}

impl fmt::Debug for ApiUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiUrl({self})")
    }
}

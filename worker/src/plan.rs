//! What the daemon is going to do, worked out from the settings before anything is started.

use std::time::Duration;

use camino::Utf8PathBuf;
use central_api_client::ClientSettings;
use serde_json::{Map, Value};
use worker_config::{AdmissionSettings, RunsAtStop};

use worker_core::rerun::RerunPolicy;

use crate::registry::PluginSettings;
use crate::run::RunSettings;

/// Everything the daemon needs to know. Holds credentials, so there is no `Debug`.
pub struct DaemonPlan {
    /// How to reach the API.
    pub client: ClientSettings,
    /// The pools, at least one.
    pub pools: Vec<PoolPlan>,
    /// Settings of the kinds of infrastructure.
    pub plugins: PluginSettings,
    /// Settings of every run.
    pub run_settings: RunSettings,
    /// One round and no more.
    pub run_once: bool,
    /// Whether to wait for an API that gives no sensible answer at the start.
    pub wait_for_api: bool,
    /// Whether to compare versions at the start.
    pub check_server_version: bool,
    /// Host and port of the health server.
    pub health: Option<(String, u16)>,
    /// Host and port of the metrics server.
    pub metrics: Option<(String, u16)>,
    /// How cancellations are noticed.
    pub cancellation: CancellationPlan,
    /// Where the daemons of this user keep what must survive them.
    pub state_dir: Utf8PathBuf,
    /// When runs are left where they are.
    pub admission: AdmissionSettings,
    /// What becomes of runs when the daemon stops.
    pub shutdown: ShutdownPlan,
}

/// What becomes of runs when the daemon stops.
#[derive(Clone, Copy, Debug)]
pub struct ShutdownPlan {
    /// What is asked for.
    pub runs: RunsAtStop,
    /// How long runs may take to end by themselves where they are waited for.
    pub drain_timeout: Duration,
    /// How long they then have to end after SIGTERM.
    pub grace: Duration,
}

/// How cancellations are noticed.
#[derive(Clone, Copy, Debug)]
pub struct CancellationPlan {
    /// Whether kinds with a supervisor of their own are also cancelled from here.
    pub enabled: bool,
    /// Mean time between questions while there is no event stream, for kinds that only the worker can cancel.
    pub poll: Duration,
    /// The same, for kinds with a supervisor of their own.
    pub supervised_poll: Duration,
    /// Whether runs are ended when nobody can tell whether they were cancelled.
    pub crash_when_blind: bool,
}

/// One pool, as it was asked for.
#[derive(Clone, Debug)]
pub struct PoolPlan {
    /// The pool.
    pub pool: String,
    /// The worker's name, if given.
    pub worker_name: Option<String>,
    /// The type, if given.
    pub kind: Option<String>,
    /// The queues; none means all.
    pub work_queues: Vec<String>,
    /// At most this many runs at a time.
    pub limit: Option<usize>,
    /// Which crashes are not the end of a run.
    pub rerun: RerunPolicy,
    /// How long before it is due a run is taken.
    pub prefetch: Duration,
    /// The template, if given.
    pub base_job_template: Option<Map<String, Value>>,
    /// Whether a missing pool is made.
    pub create_pool_if_not_found: bool,
    /// Mean time between polls.
    pub query_interval: Duration,
    /// Mean time between heartbeats.
    pub heartbeat_interval: Duration,
}

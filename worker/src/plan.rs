//! What the daemon is going to do, worked out from the settings before anything is started.

use std::time::Duration;

use camino::Utf8PathBuf;
use central_api_client::ClientSettings;
use serde_json::{Map, Value};
use worker_config::{AdmissionSettings, RunsAtStop, SandboxChoice, place};

use worker_core::rerun::RerunPolicy;

use crate::budget::Priority;
use crate::code_cache::CodeCache;
use crate::live_runs::WorkspaceIndex;
use crate::policy::PolicyInForce;
use crate::pool::late::LatePolicy;
use crate::redaction::KnownSecrets;
use crate::registry::PluginSettings;
use crate::run::RunSettings;
use crate::traces::TracesPlan;

/// Everything the daemon needs to know. Holds credentials, so there is no `Debug`.
pub struct DaemonPlan {
    /// The APIs, at least one.
    pub workspaces: Vec<WorkspacePlan>,
    /// The pools.
    pub pools: Vec<PoolPlan>,
    /// One round and no more.
    pub run_once: bool,
    /// Whether to wait for an API that gives no sensible answer at the start.
    pub wait_for_api: bool,
    /// Whether to compare versions at the start.
    pub check_server_version: bool,
    /// Host and port of `--with-healthcheck`.
    pub health: Option<(String, u16)>,
    /// Host and port of Prefect's client metrics, where every path is that of the metrics.
    pub metrics: Option<(String, u16)>,
    /// Host and port of the worker's own setting.
    pub monitoring: Option<(String, u16)>,
    /// Where traces of runs are sent, if they are.
    pub traces: Option<TracesPlan>,
    /// The secrets that are known at the start, which the log loses already.
    pub secrets: KnownSecrets,
    /// How cancellations are noticed.
    pub cancellation: CancellationPlan,
    /// Where the daemons of this user keep what must survive them.
    pub state_dir: Utf8PathBuf,
    /// When runs are left where they are.
    pub admission: AdmissionSettings,
    /// What becomes of runs when the daemon stops.
    pub shutdown: ShutdownPlan,
    /// What runs may be.
    pub policy: PolicyInForce,
    /// Where the audit log is, if there is to be one.
    pub audit: Option<AuditPlan>,
}

/// The audit log.
#[derive(Clone, Debug)]
pub struct AuditPlan {
    /// Its file.
    pub file: Utf8PathBuf,
    /// Whether a run may not be launched without its line.
    pub required: bool,
}

/// One API, and what is the business of its runs alone. Holds credentials, so there is no `Debug`.
pub struct WorkspacePlan {
    /// Its name, if it has a `[[workspace]]` table.
    pub name: Option<String>,
    /// How to reach the API.
    pub client: ClientSettings,
    /// Settings of the kinds of infrastructure.
    pub plugins: PluginSettings,
    /// Settings of every run.
    pub run_settings: RunSettings,
    /// Where code is kept for later runs, if it is.
    pub code_cache: Option<CodeCache>,
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
#[derive(Clone, Debug, PartialEq)]
pub struct PoolPlan {
    /// Its API.
    pub workspace: WorkspaceIndex,
    /// The name of that, if it has one.
    pub workspace_name: Option<String>,
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
    /// Which pool takes first while not all can.
    pub priority: Priority,
    /// Which crashes are not the end of a run.
    pub rerun: RerunPolicy,
    /// What becomes of runs that are late.
    pub late: LatePolicy,
    /// How its local processes are kept apart.
    pub sandbox: SandboxChoice,
    /// How long before it is due a run is taken.
    pub prefetch: Duration,
    /// Whether runs are asked for when the event stream tells of them, and not only at an interval.
    pub pick_up_events: bool,
    /// The template, if given.
    pub base_job_template: Option<Map<String, Value>>,
    /// Whether a missing pool is made.
    pub create_pool_if_not_found: bool,
    /// Mean time between polls.
    pub query_interval: Duration,
    /// Mean time between heartbeats.
    pub heartbeat_interval: Duration,
}

impl PoolPlan {
    /// The pool as people are told of it: `gpu`, or `acme/gpu` in a workspace that has a name.
    pub fn place(&self) -> String {
        place(self.workspace_name.as_deref(), &self.pool)
    }
}

#[cfg(test)]
impl PoolPlan {
    /// A pool of which nothing is set.
    pub(crate) fn of_tests() -> Self {
        Self {
            workspace: WorkspaceIndex(0),
            workspace_name: None,
            pool: "pool".to_owned(),
            worker_name: None,
            kind: None,
            work_queues: Vec::new(),
            limit: None,
            priority: Priority(100),
            rerun: RerunPolicy::default(),
            late: LatePolicy::All,
            sandbox: SandboxChoice::default(),
            prefetch: Duration::from_secs(10),
            pick_up_events: true,
            base_job_template: None,
            create_pool_if_not_found: true,
            query_interval: Duration::from_secs(10),
            heartbeat_interval: Duration::from_secs(30),
        }
    }
}

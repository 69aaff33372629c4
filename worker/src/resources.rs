//! What the runs of a daemon share, whatever pool they come from.

use std::sync::Arc;

use central_api_client::{Client, EventEmitter, LogShipper};
use infra_contract::InfraPlugin;
use tokio_util::task::TaskTracker;
use worker_config::SandboxChoice;
use worker_core::rerun::RerunPolicy;

use crate::audit::AuditLog;
use crate::console::OutputSink;
use crate::control_plane::{RemoteControlPlane, Together};
use crate::journal::DiskJournal;
use crate::live_runs::LiveRuns;
use crate::metrics::Metrics;
use crate::policy::PolicyInForce;
use crate::redaction::KnownSecrets;
use crate::run::{RunSettings, SharedResources, Surroundings, WorkerIdentity};
use crate::timeline::Timelines;
use crate::traces::Traces;

/// What the runs of a daemon share.
#[derive(Clone)]
pub struct Resources {
    /// The API.
    pub client: Client,
    /// Run logs.
    pub logs: LogShipper,
    /// Events.
    pub events: EventEmitter,
    /// All live runs.
    pub live: LiveRuns,
    /// The actors of all pools.
    pub actors: TaskTracker,
    /// The journal.
    pub journal: Arc<DiskJournal>,
    /// Where the output of flow processes goes.
    pub output: OutputSink,
    /// Settings of runs.
    pub run_settings: Arc<RunSettings>,
    /// Decisions.
    pub timelines: Timelines,
    /// What is written down of what is done with runs.
    pub audit: AuditLog,
    /// What runs may be.
    pub policy: PolicyInForce,
    /// What is counted.
    pub metrics: Metrics,
    /// What must not leave the process.
    pub secrets: KnownSecrets,
    /// What the runs of all pools ask together.
    pub together: Arc<Together>,
    /// Where traces of runs go.
    pub traces: Traces,
}

impl Resources {
    /// The surroundings of the runs that a worker takes from a pool. The client is the one attributed to that worker.
    pub fn surroundings(
        &self,
        client: Client,
        identity: Arc<WorkerIdentity>,
        plugin: Arc<dyn InfraPlugin>,
        rerun: Arc<RerunPolicy>,
        sandbox: Arc<SandboxChoice>,
    ) -> Arc<Surroundings> {
        let api = RemoteControlPlane::new(
            client,
            self.logs.clone(),
            self.events.clone(),
            self.secrets.clone(),
            Arc::clone(&self.together),
        );
        Arc::new(Surroundings {
            identity,
            api: Arc::new(api),
            plugin,
            journal: Arc::<DiskJournal>::clone(&self.journal),
            output: self.output.clone(),
            settings: Arc::clone(&self.run_settings),
            timelines: self.timelines.clone(),
            audit: self.audit.clone(),
            policy: self.policy.clone(),
            metrics: self.metrics.clone(),
            secrets: self.secrets.clone(),
            rerun,
            traces: self.traces.clone(),
            sandbox,
            shared_resources: SharedResources::default(),
        })
    }
}

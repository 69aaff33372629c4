//! What one execution of a run is surrounded by.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use camino::Utf8PathBuf;
use central_api_wire::flow_run::FlowRun;
use central_api_wire::work_pool::WorkPool;
use code_storage::PullOptions;
use infra_contract::InfraPlugin;
use worker_config::SandboxChoice;
use worker_core::handle::PluginKind;
use worker_core::ids::{LaunchKey, WorkerId};
use worker_core::machine::Run;
use worker_core::rerun::RerunPolicy;

use tokio::time::Instant;

use super::kept_resource::SharedResources;
use super::log::RunLog;
use super::report::Told;
use crate::audit::AuditLog;
use crate::console::OutputSink;
use crate::control_plane::ControlPlane;
use crate::journal::{FORMAT, Facts, Journal, Record};
use crate::live_runs::Glance;
use crate::metrics::{Metrics, RunMetrics};
use crate::policy::PolicyInForce;
use crate::redaction::KnownSecrets;
use crate::timeline::Timelines;
use crate::traces::{RunTrace, Traced, Traces, WrittenTrace};

/// Who this worker is in one of its pools.
#[derive(Debug)]
pub struct WorkerIdentity {
    /// Its name.
    pub name: String,
    /// Its kind, as its events spell it.
    pub kind: PluginKind,
    /// Its id, once Prefect Cloud has told it.
    pub id: OnceLock<WorkerId>,
}

/// Settings that every run of a pool shares.
///
/// The environments hold credentials, so there is no `Debug`.
pub struct RunSettings {
    /// The worker's explicitly set Prefect settings, under their environment names.
    pub base_environment: BTreeMap<String, String>,
    /// The worker's own environment, for `{{ $NAME }}`.
    pub worker_environment: BTreeMap<String, String>,
    /// How long a cancelled run has to end by itself.
    pub kill_grace: Duration,
    /// How long a run has to end by itself when the worker stops.
    pub shutdown_grace: Duration,
    /// Where native checkouts are made, one folder per execution.
    pub code_directory: Utf8PathBuf,
    /// How code is brought there; without the environment, which is the run's own.
    pub pulling: PullOptions,
}

/// A run as it was offered, with the pool as it was at that moment: later changes of the template do not touch it.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Identity of this execution, made for it.
    pub key: LaunchKey,
    /// The run, with its state unknown: a poll does not say it.
    pub flow_run: FlowRun,
    /// The pool.
    pub pool: Arc<WorkPool>,
    /// Whether the server has refused us this run before: what was said then is not said again.
    pub refused_before: bool,
    /// When the API was asked for due runs and showed it so.
    pub shown: Instant,
}

/// What the runs that one worker takes from one pool have in common.
pub struct Surroundings {
    /// The worker.
    pub identity: Arc<WorkerIdentity>,
    /// The API.
    pub api: Arc<dyn ControlPlane>,
    /// The kind of infrastructure.
    pub plugin: Arc<dyn InfraPlugin>,
    /// The journal.
    pub journal: Arc<dyn Journal>,
    /// Where the output of the run's processes goes.
    pub output: OutputSink,
    /// The settings.
    pub settings: Arc<RunSettings>,
    /// Where decisions are noted.
    pub timelines: Timelines,
    /// What is written down of what is done with runs.
    pub audit: AuditLog,
    /// What runs may be.
    pub policy: PolicyInForce,
    /// Where what happens is counted.
    pub metrics: Metrics,
    /// Who is told of secrets that are resolved.
    pub secrets: KnownSecrets,
    /// Which crashes are not the end of a run.
    pub rerun: Arc<RerunPolicy>,
    /// Where traces of runs go.
    pub traces: Traces,
    /// How local processes are kept apart.
    pub sandbox: Arc<SandboxChoice>,
    /// What the events of many runs are about.
    pub shared_resources: SharedResources,
}

impl Surroundings {
    /// The surroundings of a run that is about to be claimed.
    pub fn context(self: &Arc<Self>, offer: Offer, glance: Glance) -> RunContext {
        let trace = self.traces.begin(self.traced(&offer));
        RunContext { offer, around: Arc::clone(self), glance, is_resumed: false, trace }
    }

    /// The surroundings of a run that an earlier process took, or was about to: `is_ours` is which.
    pub fn resumed(
        self: &Arc<Self>,
        offer: Offer,
        glance: Glance,
        trace: Option<&WrittenTrace>,
        is_ours: bool,
    ) -> RunContext {
        let trace = self.traces.resume(self.traced(&offer), trace, is_ours);
        RunContext { offer, around: Arc::clone(self), glance, is_resumed: true, trace }
    }

    fn traced<'r>(&'r self, offer: &'r Offer) -> Traced<'r> {
        let WorkerIdentity { name, kind, .. } = &*self.identity;
        Traced { flow_run: &offer.flow_run, pool: &offer.pool.name, kind: kind.as_str(), worker: name }
    }
}

/// Everything that the parts of one execution share.
#[derive(Clone)]
pub struct RunContext {
    /// The run.
    pub offer: Offer,
    /// What it shares with the other runs of its pool.
    pub around: Arc<Surroundings>,
    /// What others see of the run.
    pub glance: Glance,
    /// An earlier process took the run on, and may have told the API what this one is about to.
    pub is_resumed: bool,
    /// The trace of the execution.
    pub trace: RunTrace,
}

impl RunContext {
    /// The run's own log.
    pub fn log(&self) -> RunLog<'_> {
        RunLog::new(&*self.around.api, self.offer.key.run, &self.around.timelines)
    }

    /// Notes a decision about the run, for whoever asks why.
    pub fn note(&self, text: impl Into<String>) {
        let text = text.into();
        self.trace.noted(&text);
        self.around.timelines.note(self.offer.key.run, text);
    }

    /// Where what happens to the run is counted.
    pub(super) fn metrics(&self) -> RunMetrics<'_> {
        self.around.metrics.runs(&self.offer.pool.name, &self.around.identity.kind)
    }

    /// The run as it is written down.
    pub(super) fn record(&self, run: &Run, told: Option<&Told>) -> Record {
        Record {
            format: FORMAT,
            run: run.clone(),
            facts: self.facts(told),
            timeline: self.around.timelines.notes(self.offer.key.run),
        }
    }
    /// What a later process needs to know of the run.
    pub(super) fn facts(&self, told: Option<&Told>) -> Facts {
        let FlowRun { name, flow_id, deployment_id, next_scheduled_start_time, .. } = &self.offer.flow_run;
        Facts {
            name: name.clone(),
            flow_id: *flow_id,
            deployment_id: *deployment_id,
            due: *next_scheduled_start_time,
            pool: self.offer.pool.name.clone(),
            pool_id: self.offer.pool.id,
            kind: self.around.plugin.kind(),
            worker: self.around.identity.name.clone(),
            told: told.cloned(),
            trace: self.trace.written(),
        }
    }
}

//! From a run that was offered to an actor that executes it.

use std::sync::Arc;

use central_api_wire::flow_run::FlowRun;
use central_api_wire::work_pool::WorkPool;
use infra_contract::InfraPlugin;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use uuid::Uuid;
use worker_core::ids::{LaunchKey, TransitionId};

use crate::console::OutputSink;
use crate::control_plane::ControlPlane;
use crate::journal::Journal;
use crate::live_runs::{LiveRuns, NoSlot, PoolIndex};
use crate::refusals::{Refusals, Standing};
use crate::run::{Actor, Ended, Offer, RunContext, RunSettings, WorkerIdentity};

/// Starts the runs of one pool. Owns their tasks.
#[derive(Clone)]
pub struct Dispatcher {
    /// Which pool.
    pub pool: PoolIndex,
    /// At most this many runs at a time.
    pub limit: Option<usize>,
    /// All live runs of the daemon.
    pub live: LiveRuns,
    /// Runs that the server would not give us.
    pub refusals: Refusals,
    /// The actors' tasks.
    pub tasks: TaskTracker,
    /// Who this worker is.
    pub identity: Arc<WorkerIdentity>,
    /// The API.
    pub api: Arc<dyn ControlPlane>,
    /// The kind of infrastructure.
    pub plugin: Arc<dyn InfraPlugin>,
    /// The journal.
    pub journal: Arc<dyn Journal>,
    /// Where the output of flow processes goes.
    pub output: OutputSink,
    /// The settings of runs.
    pub settings: Arc<RunSettings>,
}

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatched {
    /// An actor lives for it.
    Started,
    /// One lived already, or the run was refused just now and waits.
    Passed,
    /// The pool has no free slot.
    LimitReached,
}

impl Dispatcher {
    /// Takes a slot for the run and starts its actor; the slot goes with the actor.
    pub fn dispatch(&self, flow_run: FlowRun, pool: Arc<WorkPool>) -> Dispatched {
        let id = flow_run.id;
        let standing = self.refusals.standing(id);
        if standing == Standing::Parked {
            return Dispatched::Passed;
        }
        let (slot, inbox) = match self.live.reserve(self.pool, id, self.limit) {
            Ok(reserved) => reserved,
            Err(NoSlot::AlreadyLive) => {
                tracing::debug!("Skipping {id} because it's already being submitted");
                return Dispatched::Passed;
            }
            Err(NoSlot::Closed) => return Dispatched::LimitReached,
            Err(NoSlot::LimitReached { live }) => {
                tracing::debug!("Flow run limit reached; {live} flow runs in progress.");
                return Dispatched::LimitReached;
            }
        };
        let span = tracing::info_span!("run", id = %id, name = flow_run.name, pool = pool.name);
        let key = LaunchKey { run: id, claim: TransitionId(Uuid::new_v4()) };
        let cx = RunContext {
            offer: Offer { key, flow_run, pool, refused_before: standing == Standing::MayBeAskedAgain },
            identity: Arc::clone(&self.identity),
            api: Arc::clone(&self.api),
            plugin: Arc::clone(&self.plugin),
            journal: Arc::clone(&self.journal),
            output: self.output.clone(),
            settings: Arc::clone(&self.settings),
        };
        let actor = Actor::new(cx, inbox);
        let refusals = self.refusals.clone();
        self.tasks.spawn(
            async move {
                // Named, so that it lives as long as the actor and is dropped even if the actor panics.
                let _slot = slot;
                match actor.live().await {
                    Ended::Refused => refusals.refused(id),
                    Ended::Over | Ended::Left => refusals.forget(id),
                }
            }
            .instrument(span),
        );
        Dispatched::Started
    }

    /// Whether another run could be started now.
    pub fn has_free_slot(&self) -> bool {
        self.limit.is_none_or(|limit| self.live.count(self.pool) < limit)
    }

    /// All live runs of the daemon.
    pub const fn live_runs(&self) -> &LiveRuns {
        &self.live
    }
}

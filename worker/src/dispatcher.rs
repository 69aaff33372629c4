//! From a run that was offered to an actor that executes it.

use std::sync::Arc;

use central_api_wire::flow_run::FlowRun;
use central_api_wire::work_pool::WorkPool;
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use uuid::Uuid;
use worker_core::ids::{DeploymentId, LaunchKey, TransitionId, WorkPoolId};
use worker_core::machine::Phase;

use crate::admission::Admission;
use crate::budget::{Budget, Priority};
use crate::journal::Record;
use crate::live_runs::{Glance, LiveRuns, NoSlot, PoolIndex, Slot};
use crate::refusals::{Refusals, Standing};
use crate::run::{Actor, Ended, Offer, Surroundings};
use crate::slot_limit::SlotLimit;
use crate::slots_held::SlotsHeld;

/// Starts the runs of one pool. Owns their tasks.
#[derive(Clone)]
pub struct Dispatcher {
    /// Which pool.
    pub pool: PoolIndex,
    /// Most runs at a time. None where runs are only taken over.
    pub limit: Option<SlotLimit>,
    /// How many runs all pools together may have, and whose turn it is.
    pub budget: Budget,
    /// Which pool takes first while not all can.
    pub priority: Priority,
    /// How long a run holds its slot.
    pub slots_held: SlotsHeld,
    /// All live runs of the daemon.
    pub live: LiveRuns,
    /// Runs that the server would not give us.
    pub refusals: Refusals,
    /// The actors' tasks.
    pub tasks: TaskTracker,
    /// What the runs have in common.
    pub around: Arc<Surroundings>,
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
    /// All pools together have none, or it is the turn of another.
    BudgetSpent,
    /// This machine could not bear one more now.
    Held,
}

impl Dispatcher {
    /// Takes a slot for the run and starts its actor; the slot goes with the actor.
    pub fn dispatch(
        &self,
        flow_run: &FlowRun,
        pool: Arc<WorkPool>,
        shown: Instant,
        admission: &Admission,
    ) -> Dispatched {
        let id = flow_run.id;
        let standing = self.refusals.standing(id);
        if standing == Standing::Parked {
            return Dispatched::Passed;
        }
        // Asked last: an answer that the run may start is used up by it.
        let takes_a_slot = !self.live.is_live(id) && self.is_below_its_limit();
        if takes_a_slot && !self.budget.has_room(self.pool, self.priority) {
            return self.waits_for_others(flow_run, &pool);
        }
        if takes_a_slot && let Err(why) = self.admitted(admission) {
            self.around.timelines.begin(id, &flow_run.name, &pool.name);
            self.around.timelines.note(id, format!("waits: {why}"));
            return Dispatched::Held;
        }
        let key = LaunchKey { run: id, claim: TransitionId(Uuid::new_v4()) };
        let glance = self.glance(key, &flow_run.name, &pool.name, false);
        let (slot, inbox) = match self.budget.reserve(self.pool, self.most(), glance.clone()) {
            Ok(reserved) => reserved,
            Err(NoSlot::AlreadyLive) => {
                tracing::debug!("Skipping {id} because it's already being submitted");
                return Dispatched::Passed;
            }
            Err(NoSlot::Closed) => return Dispatched::LimitReached,
            Err(NoSlot::BudgetSpent) => return self.waits_for_others(flow_run, &pool),
            Err(NoSlot::LimitReached { held }) => {
                tracing::debug!("Flow run limit reached; {held} flow runs in progress.");
                self.around.timelines.begin(id, &flow_run.name, &pool.name);
                self.around.timelines.note(id, format!("waits: the limit of {held} runs at a time is reached"));
                return Dispatched::LimitReached;
            }
        };
        self.around.timelines.begin(id, &flow_run.name, &pool.name);
        if flow_run.next_scheduled_start_time.is_none_or(|due| due <= Timestamp::now()) {
            admission.started(glance.clone());
        }
        let refused_before = standing == Standing::MayBeAskedAgain;
        let offer = Offer { key, flow_run: flow_run.clone(), pool, refused_before, shown };
        let actor = Actor::new(self.around.context(offer, glance.clone()), inbox);
        self.spawn(actor, slot, &glance);
        Dispatched::Started
    }

    /// Has deployments read that runs will need which are not known yet. They use it if it is new enough for them.
    pub fn read_ahead(&self, deployments: impl IntoIterator<Item = DeploymentId>, since: Instant) {
        for deployment in deployments {
            let around = Arc::clone(&self.around);
            // Nobody waits for it, not even a stop. A run reads by itself what cannot be read here, and says why it cannot.
            tokio::spawn(async move { around.api.deployment(deployment, since).await.map(drop).unwrap_or_default() });
        }
    }

    fn waits_for_others(&self, flow_run: &FlowRun, pool: &WorkPool) -> Dispatched {
        let why = match self.budget.filling() {
            Some((held, most)) if held >= most => format!("the limit of {most} runs of all pools is reached"),
            _ => "it is the turn of another work pool".to_owned(),
        };
        self.around.timelines.begin(flow_run.id, &flow_run.name, &pool.name);
        self.around.timelines.note(flow_run.id, format!("waits: {why}"));
        Dispatched::BudgetSpent
    }

    /// Whether this machine can bear one more, of this pool first.
    fn admitted(&self, admission: &Admission) -> Result<(), String> {
        if self.budget.is_preceded(self.pool, self.priority) {
            return Err("a work pool of a higher priority waits for this machine".to_owned());
        }
        admission.admit().map_err(|hold| {
            self.budget.is_held(self.pool, self.priority);
            hold.to_string()
        })
    }

    /// Goes on with a run that an earlier process left. Its slot may be one more than the limit. False if it is live.
    pub fn resume(&self, record: Record) -> bool {
        let Record { run, facts, timeline, .. } = record;
        let key = run.key;
        let glance = self.glance(key, &facts.name, &facts.pool, true);
        let Ok((slot, inbox)) = self.live.reserve(self.pool, None, glance.clone()) else { return false };
        self.around.timelines.resume(key.run, &facts.name, &facts.pool, &timeline);
        let offer = Offer {
            key,
            flow_run: facts.flow_run(key),
            pool: Arc::new(pool_by_name(&facts.pool, facts.pool_id, facts.kind.as_str())),
            refused_before: false,
            shown: Instant::now(),
        };
        let cx = self.around.resumed(offer, glance.clone(), facts.trace.as_ref(), run.phase != Phase::Claiming);
        cx.note("a new worker process takes it over");
        self.spawn(Actor::resume(cx, run, facts.told, inbox), slot, &glance);
        true
    }

    fn spawn(&self, actor: Box<Actor>, slot: Slot, glance: &Glance) {
        let seen = glance.seen();
        let id = seen.key.run;
        let span = tracing::info_span!("run", %id, name = seen.name, pool = seen.pool);
        let refusals = self.refusals.clone();
        let timeline = self.around.timelines.live(id);
        self.tasks.spawn(
            async move {
                // Named, so that they live as long as the actor and are dropped even if the actor panics.
                let (_slot, _timeline) = (slot, timeline);
                match actor.live().await {
                    Ended::Refused => refusals.refused(id),
                    Ended::Over | Ended::Left => refusals.forget(id),
                }
            }
            .instrument(span),
        );
    }

    fn glance(&self, key: LaunchKey, name: &str, pool: &str, is_adopted: bool) -> Glance {
        let (kind, capabilities) = (self.around.plugin.kind(), self.around.plugin.capabilities());
        Glance::new(key, name, pool, kind, capabilities, is_adopted).holding_its_slot(self.slots_held)
    }

    /// Whether another run could be started now.
    pub fn has_free_slot(&self) -> bool {
        self.is_below_its_limit() && self.budget.has_room(self.pool, self.priority)
    }

    fn is_below_its_limit(&self) -> bool {
        self.most().is_none_or(|most| self.live.slots(self.pool) < most)
    }

    fn most(&self) -> Option<usize> {
        self.limit.as_ref().and_then(SlotLimit::get)
    }

    /// All live runs of the daemon.
    pub const fn live_runs(&self) -> &LiveRuns {
        &self.live
    }
}

/// A pool of which no more is known than its name. Whatever needs more reads it from the API.
fn pool_by_name(name: &str, id: WorkPoolId, kind: &str) -> WorkPool {
    WorkPool {
        id,
        name: name.to_owned(),
        pool_type: kind.to_owned(),
        base_job_template: serde_json::Map::new(),
        is_paused: false,
        concurrency_limit: None,
        status: None,
        default_queue_id: None,
        other: serde_json::Map::new(),
    }
}

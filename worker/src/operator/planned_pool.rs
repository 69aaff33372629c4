//! A pool that was asked for, and how far the serving of it is.

use std::sync::Arc;
use std::time::Duration;

use infra_contract::InfraPlugin;
use tokio::sync::watch;

use super::answers::{Health, PoolStatus};
use crate::live_runs::{LiveRuns, PoolIndex};
use crate::plan::PoolPlan;
use crate::pool::PoolView;
use crate::pool::poller::LastPoll;
use crate::slot_limit::SlotLimit;

/// A loop that asks again after failures pauses for 30 s at most, so polls that fail for longer than this do fail.
const UNANSWERED: Duration = Duration::from_secs(30);
/// The same for long intervals.
const INTERVALS: u32 = 3;

/// How far the opening of a pool is.
#[derive(Clone, Debug)]
pub enum Standing {
    /// The API has not said yet what kind of pool it is.
    Opening,
    /// Its loops run.
    Served {
        /// The worker's name in it.
        worker: String,
        /// The pool as it is now.
        view: PoolView,
        /// What its runs are started with.
        plugin: Arc<dyn InfraPlugin>,
    },
    /// It cannot be served, because.
    Refused(String),
    /// It is no longer asked for; its live runs are seen to their end.
    Left {
        /// The worker's name in it.
        worker: String,
    },
}

/// A pool that was asked for. The parts are shared with those who serve it.
#[derive(Clone, Debug)]
pub struct PlannedPool {
    /// Its place in the table of live runs.
    pub index: PoolIndex,
    /// As it was asked for.
    pub plan: Arc<PoolPlan>,
    /// Most runs at a time.
    pub limit: SlotLimit,
    /// When it was last polled.
    pub last_poll: Arc<LastPoll>,
    /// How far it is.
    pub standing: watch::Sender<Standing>,
}

impl PlannedPool {
    /// A pool of which the API has said nothing yet.
    pub fn new(index: PoolIndex, plan: PoolPlan) -> Self {
        Self {
            index,
            limit: SlotLimit::new(plan.limit),
            plan: Arc::new(plan),
            last_poll: Arc::default(),
            standing: watch::Sender::new(Standing::Opening),
        }
    }

    /// The same pool with what can be changed in place.
    #[must_use]
    pub fn adjusted(&self, plan: PoolPlan) -> Self {
        self.limit.set(plan.limit);
        Self { plan: Arc::new(plan), ..self.clone() }
    }

    /// The same pool, to be opened anew: its live runs count for its limit.
    #[must_use]
    pub fn renewed(&self, plan: PoolPlan) -> Self {
        self.limit.set(plan.limit);
        let standing = match &*self.standing.borrow() {
            // It goes on as before until it is opened.
            served @ Standing::Served { .. } => served.clone(),
            Standing::Opening | Standing::Refused(_) | Standing::Left { .. } => Standing::Opening,
        };
        self.last_poll.tick();
        Self { plan: Arc::new(plan), standing: watch::Sender::new(standing), ..self.clone() }
    }

    /// Whether it is the same pool, asked for in the same way at the same time.
    pub fn is_the_same(&self, other: &Self) -> bool {
        self.index == other.index && self.standing.same_channel(&other.standing)
    }

    /// Whether it is no longer asked for.
    pub fn is_left(&self) -> bool {
        matches!(*self.standing.borrow(), Standing::Left { .. })
    }

    /// The pool at this moment.
    pub fn status(&self, live: &LiveRuns) -> PoolStatus {
        let standing = self.standing.borrow().clone();
        let is_open = matches!(standing, Standing::Served { .. });
        let age = self.last_poll.age();
        let health = self.health(&standing, age);
        let (worker, detail) = match standing {
            Standing::Opening => (self.plan.worker_name.clone(), None),
            Standing::Served { worker, .. } | Standing::Left { worker } => (Some(worker), None),
            Standing::Refused(why) => (self.plan.worker_name.clone(), Some(why)),
        };
        PoolStatus {
            name: self.plan.pool.clone(),
            workspace: self.plan.workspace_name.clone(),
            worker,
            live: live.count(self.index),
            slots: live.slots(self.index),
            limit: self.limit.get(),
            priority: self.plan.priority.0,
            last_poll_seconds: is_open.then_some(age.as_secs_f64()),
            health,
            hold: self.last_poll.hold(),
            detail,
        }
    }

    fn health(&self, standing: &Standing, age: Duration) -> Health {
        match standing {
            Standing::Opening => Health::Opening,
            Standing::Refused(_) => Health::Refused,
            Standing::Left { .. } => Health::Left,
            Standing::Served { .. } if age > UNANSWERED.max(self.plan.query_interval * INTERVALS) => Health::Unanswered,
            Standing::Served { view, .. } => match view.pool() {
                None if view.is_missing() => Health::Missing,
                // A worker that has just started serves the pool before it has read it.
                None => Health::Opening,
                Some(pool) if pool.is_paused => Health::Paused,
                Some(_) => Health::Ok,
            },
        }
    }
}

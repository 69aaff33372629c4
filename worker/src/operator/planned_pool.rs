//! A pool that was asked for, and how far the serving of it is.

use std::sync::Arc;
use std::time::Duration;

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
    },
    /// It cannot be served, because.
    Refused(String),
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

    /// The pool at this moment.
    pub(super) fn status(&self, live: &LiveRuns) -> PoolStatus {
        let standing = self.standing.borrow().clone();
        let is_open = matches!(standing, Standing::Served { .. });
        let age = self.last_poll.age();
        let health = self.health(&standing, age);
        let (worker, detail) = match standing {
            Standing::Opening => (self.plan.worker_name.clone(), None),
            Standing::Served { worker, .. } => (Some(worker), None),
            Standing::Refused(why) => (self.plan.worker_name.clone(), Some(why)),
        };
        PoolStatus {
            name: self.plan.pool.clone(),
            worker,
            live: live.count(self.index),
            limit: self.limit.get(),
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
            Standing::Served { .. } if age > UNANSWERED.max(self.plan.query_interval * INTERVALS) => Health::Unanswered,
            Standing::Served { view, .. } => match view.pool() {
                None => Health::Missing,
                Some(pool) if pool.is_paused => Health::Paused,
                Some(_) => Health::Ok,
            },
        }
    }
}

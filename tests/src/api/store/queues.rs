//! Work queues.

use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;
use worker_core::ids::{WorkPoolId, WorkQueueId};

use super::{Change, StoreError, Tables};
use crate::api::model::{Queue, Run};
use crate::api::schedule::{Poll, due_runs};

/// A queue to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewQueue {
    /// Its name.
    pub name: String,
    /// Whether it begins paused.
    pub is_paused: bool,
    /// At most this many of its runs are Pending or Running.
    pub concurrency_limit: Option<u32>,
    /// 1 is the highest; the first free one without.
    pub priority: Option<u32>,
}

impl NewQueue {
    /// A queue with the first free priority.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

/// A change of a queue.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct QueueChange {
    pub(crate) is_paused: Change<bool>,
    pub(crate) concurrency_limit: Change<Option<u32>>,
    pub(crate) priority: Change<u32>,
}

impl Tables {
    pub(crate) fn create_queue(
        &mut self,
        pool: &str,
        new: NewQueue,
        now: Timestamp,
    ) -> Result<WorkQueueId, StoreError> {
        let pool_id = self.pool(pool)?.id;
        if self.queue(pool, &new.name).is_ok() {
            return Err(StoreError::QueueExists(pool.to_owned()));
        }
        let priority = new.priority.unwrap_or_else(|| self.free_priority(pool_id));
        self.make_room(pool_id, priority);
        let id = WorkQueueId(Uuid::new_v4());
        let queue = Queue {
            id,
            created: now,
            updated: now,
            work_pool_id: pool_id,
            name: new.name,
            is_paused: new.is_paused,
            concurrency_limit: new.concurrency_limit,
            priority,
            last_polled: None,
        };
        self.queues.insert(id, queue);
        Ok(id)
    }

    /// The queue of a name, made if it is missing.
    pub(crate) fn ensure_queue(&mut self, pool: &str, name: &str, now: Timestamp) -> Result<WorkQueueId, StoreError> {
        match self.queue(pool, name) {
            Ok(queue) => Ok(queue.id),
            Err(_) => self.create_queue(pool, NewQueue::new(name), now),
        }
    }

    pub(crate) fn change_queue(&mut self, id: WorkQueueId, change: QueueChange, now: Timestamp) {
        if let (Change::To(wanted), Some(queue)) = (&change.priority, self.queues.get(&id)) {
            self.make_room(queue.work_pool_id, *wanted);
        }
        let Some(queue) = self.queues.get_mut(&id) else { return };
        queue.updated = now;
        change.is_paused.apply(&mut queue.is_paused);
        change.concurrency_limit.apply(&mut queue.concurrency_limit);
        change.priority.apply(&mut queue.priority);
    }

    /// Deletes a queue. Its runs stay, without one.
    pub(crate) fn delete_queue(&mut self, id: WorkQueueId) {
        self.queues.remove(&id);
        for run in self.runs.values_mut().filter(|run| run.work_queue_id == Some(id)) {
            run.work_queue_id = None;
        }
    }

    /// Answers a poll: the runs to submit, and marks on what was polled.
    pub(crate) fn poll(
        &mut self,
        pool: &str,
        names: &[String],
        mut poll: Poll,
        now: Timestamp,
    ) -> Result<Vec<(WorkPoolId, &Run)>, StoreError> {
        let pool_id = self.pool(pool)?.id;
        let named: Vec<WorkQueueId> =
            names.iter().map(|name| self.queue(pool, name).map(|queue| queue.id)).collect::<Result<_, _>>()?;
        poll.queues = (!named.is_empty()).then_some(named);
        for queue in self.queues.values_mut().filter(|queue| queue.work_pool_id == pool_id) {
            if poll.queues.as_ref().is_none_or(|wanted| wanted.contains(&queue.id)) {
                queue.last_polled = Some(now);
            }
        }
        let Some(pool) = self.pools.get(&pool_id) else { return Ok(Vec::new()) };
        let due = due_runs(pool, self.queues.values(), self.runs.values(), &poll);
        Ok(due.into_iter().map(|run| (pool_id, run)).collect())
    }

    /// How many runs of a queue are Pending or Running.
    pub fn active_queue_slots(&self, queue: WorkQueueId) -> usize {
        self.runs.values().filter(|run| run.holds_slot() && run.work_queue_id == Some(queue)).count()
    }

    fn free_priority(&self, pool: WorkPoolId) -> u32 {
        let mut priority = 1;
        while self.queues.values().any(|queue| queue.work_pool_id == pool && queue.priority == priority) {
            priority += 1;
        }
        priority
    }

    /// Moves the queues at and after a priority one down, if it is taken.
    fn make_room(&mut self, pool: WorkPoolId, wanted: u32) {
        let mut next = wanted;
        loop {
            let taken = self.queues.values().find(|queue| queue.work_pool_id == pool && queue.priority == next);
            if taken.is_none() {
                break;
            }
            next += 1;
        }
        for queue in self.queues.values_mut().filter(|queue| queue.work_pool_id == pool) {
            if (wanted..next).contains(&queue.priority) {
                queue.priority += 1;
            }
        }
    }
}

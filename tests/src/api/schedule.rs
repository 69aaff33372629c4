//! Which runs a poll returns. Pure.

use std::collections::HashMap;

use central_api_wire::state::StateType;
use jiff::Timestamp;
use worker_core::ids::{RunId, WorkQueueId};

use super::model::{Pool, Queue, RetryType, Run};

/// What a worker asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Poll {
    /// The queues; none means all of the pool.
    pub queues: Option<Vec<WorkQueueId>>,
    /// Only runs due at this time or before.
    pub before: Option<Timestamp>,
    /// Only runs due at this time or after.
    pub after: Option<Timestamp>,
    /// At most this many.
    pub limit: usize,
}

/// The runs of a pool that may be submitted, in the order of submission: by priority of their queue, then by due time.
///
/// Free slots are counted over all runs of the pool and of each queue, whichever queues were asked for. `queues` and
/// `runs` may hold those of other pools.
pub fn due_runs<'a>(
    pool: &Pool,
    queues: impl IntoIterator<Item = &'a Queue>,
    runs: impl IntoIterator<Item = &'a Run>,
    poll: &Poll,
) -> Vec<&'a Run> {
    if pool.is_paused {
        return Vec::new();
    }
    let mut queues: HashMap<WorkQueueId, QueueRuns<'a>> = queues
        .into_iter()
        .filter(|queue| queue.work_pool_id == pool.id)
        .map(|queue| (queue.id, QueueRuns { queue, held: 0, due: Vec::new() }))
        .collect();
    for run in runs {
        let Some(entry) = run.work_queue_id.and_then(|id| queues.get_mut(&id)) else { continue };
        if run.holds_slot() {
            entry.held += 1;
        } else if is_due(run, poll) {
            entry.due.push(run);
        }
    }
    let pool_slots = free_slots(pool.concurrency_limit, queues.values().map(|entry| entry.held).sum());
    let mut offered: Vec<(u32, &Run)> = queues
        .into_values()
        .filter(|entry| !entry.queue.is_paused && is_asked_for(entry.queue, poll))
        .flat_map(QueueRuns::into_offered)
        .collect();
    offered.sort_by_key(|(priority, run)| (*priority, due_key(run)));
    offered.truncate(pool_slots.min(poll.limit));
    offered.into_iter().map(|(_, run)| run).collect()
}

struct QueueRuns<'a> {
    queue: &'a Queue,
    held: usize,
    due: Vec<&'a Run>,
}

impl<'a> QueueRuns<'a> {
    /// The first of its runs, as many as it has free slots.
    fn into_offered(mut self) -> impl Iterator<Item = (u32, &'a Run)> {
        let priority = self.queue.priority;
        let slots = free_slots(self.queue.concurrency_limit, self.held);
        self.due.sort_by_key(|run| due_key(run));
        self.due.into_iter().take(slots).map(move |run| (priority, run))
    }
}

fn is_asked_for(queue: &Queue, poll: &Poll) -> bool {
    poll.queues.as_ref().is_none_or(|wanted| wanted.contains(&queue.id))
}

/// A retry that the flow's own process waits for is not for a worker to start.
fn is_due(run: &Run, poll: &Poll) -> bool {
    let due = run.next_scheduled_start_time;
    run.state_type() == Some(&StateType::Scheduled)
        && run.policy.retry_type != Some(RetryType::InProcess)
        && poll.before.is_none_or(|before| due.is_some_and(|due| due <= before))
        && poll.after.is_none_or(|after| due.is_some_and(|due| due >= after))
}

/// Runs due at the same time keep the order in which they were made.
fn due_key(run: &Run) -> (Option<Timestamp>, Timestamp, RunId) {
    (run.next_scheduled_start_time, run.created, run.id)
}

fn free_slots(limit: Option<u32>, held: usize) -> usize {
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(held))
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;

//! What the two queues, logs and events, have in common: how far they are, how they stop, and when they complain.

use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long a queue goes on delivering after it was told to stop.
pub(crate) const FINAL_DELIVERY: Duration = Duration::from_secs(3);

/// What those who fill a queue and the task that works it off have in common.
pub(crate) struct Feed<Q> {
    queue: Mutex<Q>,
    pub(crate) wake: Notify,
    pub(crate) progress: Progress,
}

impl<Q> Feed<Q> {
    pub(crate) fn new(queue: Q) -> Self {
        Self { queue: Mutex::new(queue), wake: Notify::new(), progress: Progress::new() }
    }

    /// Poison is no concern: no method of a queue panics half-way.
    pub(crate) fn queue(&self) -> MutexGuard<'_, Q> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a delivery is, for whoever looks whether it hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moves {
    /// Something waits to be delivered.
    pub waits: bool,
    /// How often a delivery succeeded or failed so far.
    pub count: u64,
}

/// How far a queue has been worked off. Entries are numbered from 1 and settled in order.
#[derive(Debug)]
pub(crate) struct Progress(watch::Sender<Position>);

#[derive(Clone, Copy, Debug, Default)]
struct Position {
    settled: u64,
    failing: bool,
    ended: bool,
    moves: u64,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Position::default()))
    }

    /// Everything up to this number was delivered or given up.
    pub(crate) fn settle(&self, number: u64) {
        self.0.send_modify(|position| {
            position.settled = position.settled.max(number);
            position.moves += 1;
        });
    }

    /// Whether the last delivery failed and none has succeeded since.
    pub(crate) fn set_failing(&self, failing: bool) {
        self.0.send_if_modified(|position| {
            position.moves += 1;
            std::mem::replace(&mut position.failing, failing) != failing
        });
    }

    pub(crate) fn is_failing(&self) -> bool {
        self.0.borrow().failing
    }

    /// How often a delivery succeeded or failed: while something waits, one that does not hang does either again and again.
    pub(crate) fn moves(&self) -> u64 {
        self.0.borrow().moves
    }

    /// Nothing more will be settled.
    pub(crate) fn end(&self) {
        self.0.send_modify(|position| position.ended = true);
    }

    /// Waits until everything up to a number is settled. False when the time is up, or the queue ended before.
    pub(crate) async fn reaches(&self, number: u64, limit: Duration) -> bool {
        let mut position = self.0.subscribe();
        let settled = position.wait_for(|position| position.ended || position.settled >= number);
        matches!(timeout(limit, settled).await, Ok(Ok(position)) if position.settled >= number)
    }

    /// As [`reaches`](Self::reaches), but also false as soon as deliveries fail.
    pub(crate) async fn reaches_unless_failing(&self, number: u64, limit: Duration) -> bool {
        let mut position = self.0.subscribe();
        let fails = position.wait_for(|position| position.failing);
        tokio::select! {
            biased;
            reached = self.reaches(number, limit) => reached,
            _ = fails => false,
        }
    }
}

/// Ends [`FINAL_DELIVERY`] after the stop.
pub(crate) async fn too_late(stop: &CancellationToken) {
    stop.cancelled().await;
    sleep(FINAL_DELIVERY).await;
}

/// Sleeps before the next try. A stop cuts it short, so that there is one more try before the end.
pub(crate) async fn pause(delay: Duration, stop: &CancellationToken) {
    if stop.is_cancelled() {
        sleep(delay).await;
    } else {
        tokio::select! {
            () = sleep(delay) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// A failure that lasts: it is told once, again when the reason changes, and when it is over.
#[derive(Debug)]
pub(crate) struct Outage {
    what: &'static str,
    told: Option<String>,
}

impl Outage {
    pub(crate) const fn new(what: &'static str) -> Self {
        Self { what, told: None }
    }

    pub(crate) fn failed(&mut self, error: &(dyn Error + 'static)) {
        let what = self.what;
        let text = error.to_string();
        if self.told.as_ref() == Some(&text) {
            tracing::debug!(error, "{what} cannot be delivered");
        } else {
            tracing::warn!(error, "{what} cannot be delivered; they wait");
            self.told = Some(text);
        }
    }

    pub(crate) fn over(&mut self) {
        if self.told.take().is_some() {
            tracing::info!("{} are delivered again", self.what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_delivery_moves_whether_it_succeeds_or_fails_again() {
        let progress = Progress::new();
        progress.set_failing(true);
        progress.set_failing(true);
        assert_eq!(progress.moves(), 2);
        progress.settle(1);
        assert_eq!(progress.moves(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn progress_is_awaited_until_it_is_made_or_cannot_be_made_any_more() {
        let progress = Progress::new();
        progress.settle(3);
        assert!(progress.reaches(3, Duration::ZERO).await);
        assert!(!progress.reaches(4, Duration::from_secs(1)).await, "time is up");
        let (reached, ()) = tokio::join!(progress.reaches(4, Duration::from_secs(9)), async { progress.settle(5) });
        assert!(reached);
        progress.set_failing(true);
        assert!(progress.reaches_unless_failing(5, Duration::MAX).await, "it was made before");
        assert!(!progress.reaches_unless_failing(6, Duration::MAX).await, "nobody waits for the end of an outage");
        progress.set_failing(false);
        let waits = progress.reaches_unless_failing(6, Duration::MAX);
        let (reached, ()) = tokio::join!(waits, async { progress.set_failing(true) });
        assert!(!reached, "an outage ends a wait that has begun");
        progress.end();
        assert!(!progress.reaches(6, Duration::MAX).await, "a queue that ended makes no progress");
    }
}

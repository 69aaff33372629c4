//! The pulse of one loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// A loop that has not beaten for so many of its intervals hangs.
const INTERVALS: u32 = 3;

const TURNS: u8 = 0;
const OVER: u8 = 1;
const PANICKED: u8 = 2;

/// What is known of a loop.
#[derive(Debug)]
pub(super) struct Beats {
    name: String,
    interval: Duration,
    begun: Instant,
    /// Milliseconds from the beginning to the last beat.
    last: AtomicU64,
    state: AtomicU8,
}

impl Beats {
    pub(super) fn new(name: String, interval: Duration) -> Self {
        Self { name, interval, begun: Instant::now(), last: AtomicU64::new(0), state: AtomicU8::new(TURNS) }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_over(&self) -> bool {
        self.state.load(Ordering::Relaxed) == OVER
    }

    pub(super) fn is_stalled(&self) -> bool {
        match self.state.load(Ordering::Relaxed) {
            OVER => false,
            PANICKED => true,
            _turns => {
                let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
                self.begun.elapsed().saturating_sub(last) > self.interval * INTERVALS
            }
        }
    }

    fn beat(&self) {
        let millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(millis, Ordering::Relaxed);
    }
}

/// Held by a loop. Dropping it says that the loop ended in order, except in a panic. The default is nobody's: a single round
/// beats it, and nobody listens.
#[derive(Debug, Default)]
pub struct Pulse {
    beats: Option<Arc<Beats>>,
    /// A test wants to see what becomes of a loop that hangs.
    hangs: bool,
}

impl Pulse {
    pub(super) const fn of(beats: Arc<Beats>, hangs: bool) -> Self {
        Self { beats: Some(beats), hangs }
    }

    /// The loop turns.
    pub fn beat(&self) {
        if let Some(beats) = &self.beats {
            beats.beat();
        }
    }

    /// Waits as long as it takes, because nothing is owed to the loop: a pause, a stop, something that may never come. As
    /// cancel safe as what is waited for.
    pub async fn idle<T>(&self, wait: impl Future<Output = T>) -> T {
        self.during(Duration::MAX, wait).await
    }

    /// Waits for something that has a deadline of its own, of `limit` at most. Beyond that the loop does not beat any more:
    /// if the deadline is missing after all, that is found. As cancel safe as what is waited for.
    pub async fn during<T>(&self, limit: Duration, wait: impl Future<Output = T>) -> T {
        let Some(beats) = &self.beats else { return wait.await };
        let begun = Instant::now();
        tokio::pin!(wait);
        if self.hangs {
            return std::future::pending().await;
        }
        loop {
            let is_overdue = begun.elapsed() > limit;
            if !is_overdue {
                beats.beat();
            }
            tokio::select! {
                biased;
                done = &mut wait => {
                    beats.beat();
                    return done;
                }
                () = sleep(beats.interval), if !is_overdue => {}
            }
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        if let Some(beats) = &self.beats {
            let state = if std::thread::panicking() { PANICKED } else { OVER };
            beats.state.store(state, Ordering::Relaxed);
        }
    }
}

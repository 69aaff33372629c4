//! Whether every loop of the daemon still turns.
//!
//! A loop has a pulse and beats it at an interval, also while it waits for what ends by itself. One that is stuck in a
//! lock, or waits for something that nobody ends, does not beat any more, and is found by its name within three intervals.

mod delivery;
mod pulse;
pub mod systemd;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use delivery::Delivering;
use pulse::Beats;
pub use pulse::Pulse;

use crate::failpoint;

/// A loop on a machine that is short of processors comes late by seconds. That is not a loop that hangs.
const SHORTEST: Duration = Duration::from_secs(5);
/// However seldom a loop has something to do, it shows that it could.
const LONGEST: Duration = Duration::from_secs(30);

/// The loops of a daemon.
#[derive(Clone, Debug, Default)]
pub struct Liveness(Arc<Mutex<Vec<Arc<Beats>>>>);

impl Liveness {
    /// The pulse of a loop that turns about so often. The name is for whoever is told that it hangs.
    pub fn pulse(&self, name: impl Into<String>, interval: Duration) -> Pulse {
        let name = name.into();
        let hangs = failpoint::stalls(&name);
        let interval = if hangs { Duration::from_secs(1) } else { interval.clamp(SHORTEST, LONGEST) };
        let beats = Arc::new(Beats::new(name, interval));
        let mut loops = self.loops();
        loops.retain(|known| !known.is_over());
        loops.push(Arc::clone(&beats));
        Pulse::of(beats, hangs)
    }

    /// The names of the loops that hang.
    pub fn stalled(&self) -> Vec<String> {
        self.loops().iter().filter(|beats| beats.is_stalled()).map(|beats| beats.name().to_owned()).collect()
    }

    /// The names of all loops, and whether each hangs.
    pub fn all(&self) -> Vec<(String, bool)> {
        self.loops()
            .iter()
            .filter(|beats| !beats.is_over())
            .map(|beats| (beats.name().to_owned(), beats.is_stalled()))
            .collect()
    }

    fn loops(&self) -> MutexGuard<'_, Vec<Arc<Beats>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::{advance, sleep, timeout};

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_stalled_loop_is_named_within_three_of_its_intervals() {
        let liveness = Liveness::default();
        let stuck = liveness.pulse("poller of 'a'", INTERVAL);
        let well = liveness.pulse("poller of 'b'", INTERVAL);
        advance(INTERVAL * 3).await;
        assert!(liveness.stalled().is_empty());
        well.beat();
        advance(Duration::from_secs(1)).await;
        assert_eq!(liveness.stalled(), ["poller of 'a'"]);
        stuck.beat();
        assert!(liveness.stalled().is_empty(), "it came round");
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_has_nothing_to_do_is_alive_for_ever() {
        let liveness = Liveness::default();
        let pulse = liveness.pulse("sync", INTERVAL);
        drop(timeout(INTERVAL * 100, pulse.idle(pending::<()>())).await);
        assert!(liveness.stalled().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_waits_for_an_answer_is_alive_until_the_answer_is_overdue() {
        let liveness = Liveness::default();
        let pulse = liveness.pulse("sync", INTERVAL);
        let limit = INTERVAL * 6;
        assert_eq!(pulse.during(limit, async { sleep(limit).await }).await, ());
        assert!(liveness.stalled().is_empty());
        let overdue = timeout(limit + INTERVAL * 3, pulse.during(limit, pending::<()>())).await;
        assert!(overdue.is_err());
        advance(Duration::from_secs(1)).await;
        assert_eq!(liveness.stalled(), ["sync"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_ended_in_order_is_forgotten_and_one_that_panicked_is_not() {
        let liveness = Liveness::default();
        drop(liveness.pulse("ended", INTERVAL));
        let pulse = liveness.pulse("panicked", INTERVAL);
        let panicked = tokio::spawn(async move {
            pulse.beat();
            panic!("on purpose");
        });
        assert!(panicked.await.is_err());
        assert_eq!(liveness.stalled(), ["panicked"]);
        advance(INTERVAL * 9).await;
        assert_eq!(liveness.stalled(), ["panicked"]);
    }

    #[tokio::test(start_paused = true)]
    async fn quick_loops_are_given_time_and_slow_ones_are_not_left_alone_for_hours() {
        let liveness = Liveness::default();
        let _quick = liveness.pulse("quick", Duration::from_millis(1));
        let _slow = liveness.pulse("slow", Duration::from_hours(1));
        advance(SHORTEST * 3).await;
        assert!(liveness.stalled().is_empty());
        advance(Duration::from_secs(1)).await;
        assert_eq!(liveness.stalled(), ["quick"]);
        advance(LONGEST * 3).await;
        assert_eq!(liveness.stalled(), ["quick", "slow"]);
    }
}

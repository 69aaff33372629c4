//! Whether a task that delivers something hangs.
//!
//! Such a task has nothing to do for hours, and then waits for an API that does not answer: neither is a hang. But while something
//! waits, one try after the other succeeds or fails.

use std::time::Duration;

use central_api_client::Moves;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::Pulse;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);
/// A try takes three times the request timeout at most, by default three minutes, and then the API may want five of rest.
const LONGEST_TRY: Duration = Duration::from_mins(15);

/// A task that delivers, with what tells whether it hangs.
pub struct Delivering {
    /// For whoever is told that it hangs.
    pub pulse: Pulse,
    /// The task.
    pub task: JoinHandle<()>,
    /// How it is; without that only its end is noticed.
    pub moves: Option<Box<dyn Fn() -> Moves + Send + Sync>>,
}

impl Delivering {
    /// Beats for the task until it ends, but not while it hangs. Panics if it did, so that whoever looks after the loops sees it.
    pub(crate) async fn watched(self) {
        let Self { pulse, mut task, moves } = self;
        pulse.idle(std::future::ready(())).await;
        let mut last: Option<(Moves, Instant)> = None;
        loop {
            let ended = tokio::select! {
                biased;
                ended = &mut task => ended,
                () = sleep(LOOK) => {
                    let now = moves.as_ref().map(|moves| moves());
                    if is_alive(&mut last, now, Instant::now()) {
                        pulse.beat();
                    }
                    continue;
                }
            };
            if let Err(error) = ended
                && let Ok(panic) = error.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
            return;
        }
    }
}

fn is_alive(last: &mut Option<(Moves, Instant)>, now: Option<Moves>, at: Instant) -> bool {
    let Some(now) = now else { return true };
    match last {
        Some((before, since)) if now.waits && now.count == before.count => at.duration_since(*since) <= LONGEST_TRY,
        Some(_) | None => {
            *last = Some((now, at));
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Liveness;
    use super::*;

    fn watched(moves: Moves) -> Liveness {
        let liveness = Liveness::default();
        let pulse = liveness.pulse("delivery of logs", LOOK);
        let task = tokio::spawn(std::future::pending());
        tokio::spawn(Delivering { pulse, task, moves: Some(Box::new(move || moves)) }.watched());
        liveness
    }

    async fn pass(mut time: Duration) {
        while !time.is_zero() {
            sleep(LOOK).await;
            time = time.saturating_sub(LOOK);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_delivery_that_does_nothing_while_something_waits_is_named() {
        let liveness = watched(Moves { waits: true, count: 7 });
        pass(LONGEST_TRY).await;
        assert!(liveness.stalled().is_empty(), "a long try is no hang");
        pass(LOOK * 10).await;
        assert_eq!(liveness.stalled(), ["delivery of logs"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_delivery_with_nothing_to_do_is_alive_for_ever() {
        let liveness = watched(Moves { waits: false, count: 7 });
        pass(LONGEST_TRY * 4).await;
        assert!(liveness.stalled().is_empty());
    }

    #[test]
    fn a_try_that_fails_is_a_sign_of_life() {
        let begun = Instant::now();
        let mut last = None;
        let moves = |count| Some(Moves { waits: true, count });
        assert!(is_alive(&mut last, moves(1), begun));
        assert!(is_alive(&mut last, moves(2), begun + LONGEST_TRY * 2), "it failed meanwhile");
        assert!(is_alive(&mut last, moves(2), begun + LONGEST_TRY * 3));
        assert!(!is_alive(&mut last, moves(2), begun + LONGEST_TRY * 3 + LOOK));
    }
}

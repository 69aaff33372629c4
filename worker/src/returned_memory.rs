//! Giving memory back to the system that only a burst needed.
//!
//! What a run needs between its claim and its launch is many times what it needs while it executes. The allocator keeps all of that
//! once it is free again, because what is kept lies between it: of 2,000 runs that started together that is a third of the
//! resident memory, for as long as the process lives. So once it is calm again, the allocator is asked to let go of it.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::live_runs::LiveRuns;

/// So long no run has come or gone when it is calm.
const CALM: Duration = Duration::from_secs(5);
/// Where it is never calm memory is given back all the same.
const AT_LATEST: Duration = Duration::from_mins(1);
/// Fewer runs than these leave little behind.
const WORTH_IT: u64 = 32;

/// Gives memory back after each burst of runs, until the stop.
pub(crate) async fn after_bursts(live: LiveRuns, stop: CancellationToken) {
    let mut changes = live.changes();
    // What only the start needed is the first of it.
    let mut given_at = None;
    while stop.run_until_cancelled(calm(&mut changes, given_at)).await.is_some() {
        given_at = Some(*changes.borrow_and_update());
        // It takes milliseconds, in which nobody else can allocate from the heap that is looked through.
        drop(tokio::task::spawn_blocking(give_back).await);
    }
}

/// Gives back what a look at so many live runs needed.
pub(crate) async fn after_a_look_at(runs: usize) {
    if u64::try_from(runs).is_ok_and(|runs| runs >= WORTH_IT) {
        drop(tokio::task::spawn_blocking(give_back).await);
    }
}

/// Waits for the end of a burst of runs, or for one that has gone on for long. Cancel safe.
async fn calm(changes: &mut watch::Receiver<u64>, given_at: Option<u64>) {
    let is_worth_it = |now: u64| given_at.is_none_or(|before| now.saturating_sub(before) >= WORTH_IT);
    if changes.wait_for(|now| is_worth_it(*now)).await.is_err() {
        return std::future::pending().await;
    }
    let latest = Instant::now() + AT_LATEST;
    while timeout_at(latest.min(Instant::now() + CALM), changes.changed()).await.is_ok() && Instant::now() < latest {}
}

#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "the allocator offers no other way")]
fn give_back() {
    // SAFETY: it takes no memory that is in use, locks what it looks at, and may be called by any thread at any time.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators have nothing of the kind, or do it by themselves.
#[cfg(not(target_env = "gnu"))]
const fn give_back() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_few_runs_are_not_worth_it_and_the_end_of_many_is_waited_for() {
        let (sender, mut changes) = watch::channel(0);
        let began = Instant::now();
        calm(&mut changes, None).await;
        assert_eq!(began.elapsed(), CALM, "the start is the first burst");
        sender.send_modify(|now| *now += WORTH_IT - 1);
        assert!(tokio::time::timeout(AT_LATEST * 2, calm(&mut changes, Some(0))).await.is_err());
        let began = Instant::now();
        let burst = tokio::spawn(async move {
            for _ in 0..4 {
                sender.send_modify(|now| *now += 1);
                tokio::time::sleep(CALM / 2).await;
            }
            sender
        });
        calm(&mut changes, Some(0)).await;
        assert_eq!(began.elapsed(), CALM / 2 * 3 + CALM);
        drop(burst.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn where_it_is_never_calm_it_is_not_waited_for_ever() {
        let (sender, mut changes) = watch::channel(0);
        let busy = tokio::spawn(async move {
            loop {
                sender.send_modify(|now| *now += 10);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let began = Instant::now();
        calm(&mut changes, Some(0)).await;
        assert!(began.elapsed() <= AT_LATEST + CALM);
        busy.abort();
    }
}

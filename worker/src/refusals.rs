//! Runs that the server has refused us, and when to ask for them again.
//!
//! A run that is refused stays Scheduled and is offered by the next poll, and by every one after it. Asking each time would
//! flood the API and, with a limit, keep the runs behind it from their slot for ever.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use worker_core::ids::RunId;

const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// A run that waits for a deployment's concurrency slot is refused often and should not wait long after there is one.
const LONGEST_PAUSE: Duration = Duration::from_secs(40);
/// A run that was not offered for so long is over, or somebody else's.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(10);

/// Shared by the dispatcher, which asks, and the runs' tasks, which tell.
#[derive(Clone, Debug, Default)]
pub struct Refusals(Arc<Mutex<HashMap<RunId, Refusal>>>);

#[derive(Clone, Copy, Debug)]
struct Refusal {
    times: u32,
    not_before: Instant,
}

/// What is known of a run that is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Never refused.
    New,
    /// Refused, and long enough ago.
    MayBeAskedAgain,
    /// Refused just now.
    Parked,
}

impl Refusals {
    /// Whether to ask for a run now.
    pub fn standing(&self, run: RunId) -> Standing {
        match self.table().get(&run) {
            None => Standing::New,
            Some(refusal) if refusal.not_before > Instant::now() => Standing::Parked,
            Some(_) => Standing::MayBeAskedAgain,
        }
    }

    /// The server refused a run.
    pub fn refused(&self, run: RunId) {
        let now = Instant::now();
        let mut table = self.table();
        table.retain(|_, refusal| now < refusal.not_before + FORGOTTEN_AFTER);
        let times = table.get(&run).map_or(0, |refusal| refusal.times);
        let pause = FIRST_PAUSE.saturating_mul(1 << times.min(8)).min(LONGEST_PAUSE);
        table.insert(run, Refusal { times: times.saturating_add(1), not_before: now + pause });
    }

    /// A run was ours.
    pub fn forget(&self, run: RunId) {
        self.table().remove(&run);
    }

    fn table(&self) -> MutexGuard<'_, HashMap<RunId, Refusal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refused_run_is_parked_for_longer_each_time_and_never_for_long() {
        let (refusals, run) = (Refusals::default(), RunId(Uuid::from_u128(1)));
        assert_eq!(refusals.standing(run), Standing::New);
        for seconds in [5, 10, 20, 40, 40] {
            refusals.refused(run);
            tokio::time::advance(Duration::from_secs(seconds - 1)).await;
            assert_eq!(refusals.standing(run), Standing::Parked, "{seconds}");
            tokio::time::advance(Duration::from_secs(1)).await;
            assert_eq!(refusals.standing(run), Standing::MayBeAskedAgain, "{seconds}");
        }
        refusals.forget(run);
        assert_eq!(refusals.standing(run), Standing::New);
    }

    #[tokio::test(start_paused = true)]
    async fn runs_that_are_not_offered_any_more_are_forgotten() {
        let refusals = Refusals::default();
        refusals.refused(RunId(Uuid::from_u128(1)));
        tokio::time::advance(FORGOTTEN_AFTER + LONGEST_PAUSE).await;
        refusals.refused(RunId(Uuid::from_u128(2)));
        assert_eq!(refusals.table().len(), 1);
    }
}

//! Runs that were admitted and of which the machine shows nothing yet.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::decision::OnTheWay;
use crate::live_runs::{Glance, LiveRuns, Progress, Stage};

/// A process that was started so long ago shows in what the machine tells of itself.
const SHOWS: SignedDuration = SignedDuration::from_millis(200);
/// A run that is still not started after so long waits for something else than a processor.
const STUCK: Duration = Duration::from_secs(5);

/// The runs on their way, oldest first.
#[derive(Debug, Default)]
pub(super) struct Starting(Vec<(Instant, Glance)>);

impl Starting {
    pub(super) fn begun(&mut self, glance: Glance, now: Instant) {
        self.0.push((now, glance));
    }

    /// How many there are; those that have arrived are forgotten.
    pub(super) fn count(&mut self, live: &LiveRuns, now: Instant) -> OnTheWay {
        let (wall, mut unlaunched) = (Timestamp::now(), 0);
        self.0.retain(|(begun, glance)| {
            let progress = glance.progress();
            let stays = now.duration_since(*begun) < STUCK && is_on_its_way(progress, wall) && live.has(progress.key);
            unlaunched += u64::from(stays && progress.stage != Stage::Running);
            stays
        });
        OnTheWay { unseen: u64::try_from(self.0.len()).unwrap_or(u64::MAX), unlaunched }
    }
}

fn is_on_its_way(progress: Progress, now: Timestamp) -> bool {
    match progress.stage {
        // A launch that waits for an image or a node needs no processor here.
        Stage::Claiming | Stage::Preparing | Stage::Launching => !progress.waits,
        Stage::Running => now.duration_since(progress.since) < SHOWS,
        Stage::Stopping | Stage::Reporting | Stage::CleaningUp => false,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use worker_core::ids::{LaunchKey, RunId, TransitionId};

    use infra_contract::{CancelsRunning, Capabilities};

    use super::*;
    use crate::live_runs::{PoolIndex, WorkspaceIndex};

    fn glance() -> Glance {
        let key = LaunchKey { run: RunId(Uuid::from_u128(1)), claim: TransitionId(Uuid::nil()) };
        {
            let capabilities = Capabilities {
                cancels_running: CancelsRunning::Worker,
                handles_cleanup_messages: true,
                outlives_worker: false,
                puts_runs_back: false,
            };
            Glance::new(key, "name", "pool", worker_core::handle::PluginKind::new("process"), capabilities, false)
        }
    }

    #[test]
    fn a_run_counts_until_it_ends_or_has_been_under_way_for_long() {
        let (live, now) = (LiveRuns::default(), Instant::now());
        let mut starting = Starting::default();
        let (slot, _inbox) = live.reserve(PoolIndex::new(WorkspaceIndex(0), 0), None, glance()).unwrap();
        starting.begun(glance(), now);
        assert_eq!(starting.count(&live, now), OnTheWay { unseen: 1, unlaunched: 1 });
        drop(slot);
        assert_eq!(starting.count(&live, now), OnTheWay::default());

        let _held = live.reserve(PoolIndex::new(WorkspaceIndex(0), 0), None, glance()).unwrap();
        starting.begun(glance(), now);
        assert_eq!(starting.count(&live, now + STUCK), OnTheWay::default());
    }

    #[test]
    fn a_launch_that_waits_for_its_infrastructure_lets_others_start() {
        let (live, now) = (LiveRuns::default(), Instant::now());
        let mut starting = Starting::default();
        let run = glance();
        let _held = live.reserve(PoolIndex::new(WorkspaceIndex(0), 0), None, run.clone()).unwrap();
        starting.begun(run.clone(), now);
        assert_eq!(starting.count(&live, now).unlaunched, 1);
        run.waits();
        assert_eq!(starting.count(&live, now), OnTheWay::default());
    }

    #[test]
    fn a_process_is_on_its_way_until_it_shows() {
        let now = Timestamp::now();
        let seen = |stage, millis| {
            let since = now - SignedDuration::from_millis(millis);
            Progress { stage, since, ..glance().progress() }
        };
        assert!(is_on_its_way(seen(Stage::Launching, 9_000), now));
        assert!(is_on_its_way(seen(Stage::Running, 100), now));
        assert!(!is_on_its_way(seen(Stage::Running, 200), now));
        assert!(!is_on_its_way(seen(Stage::Reporting, 0), now));
    }
}

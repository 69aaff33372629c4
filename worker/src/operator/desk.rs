//! What the answers are made from.

use std::sync::Arc;
use std::time::Duration;

use central_api_client::{Client, redacted};
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use super::answers::{Cordoned, Course, DaemonState, Draining, Ended, RunSeen, Status};
use super::planned_pool::PlannedPool;
use crate::journal::{DiskJournal, JournalError};
use crate::live_runs::{LiveRuns, PoolIndex, Sighting};
use crate::timeline::Timelines;

/// What the journal remembers of a daemon that is not to take new runs.
pub const CORDONED: &str = "cordoned";

/// The operator wants the daemon to end once its runs are over.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// After this runs are stopped; without it they are waited for as long as they take.
    pub timeout: Option<Duration>,
}

/// What a daemon shows to its operator, and takes from him.
pub struct Desk {
    /// The name of the daemon's folder.
    pub daemon: String,
    /// When it started.
    pub started: Timestamp,
    /// The API.
    pub client: Client,
    /// All live runs.
    pub live: LiveRuns,
    /// What was decided about runs.
    pub timelines: Timelines,
    /// What was decided about runs that are over.
    pub journal: Arc<DiskJournal>,
    /// The pools.
    pub pools: Vec<PlannedPool>,
    /// Set while nothing new is to be taken.
    pub cordoned: watch::Sender<bool>,
    /// How far the daemon is.
    pub course: watch::Sender<Course>,
    /// Takes the wish for a drain.
    pub drains: mpsc::Sender<Drain>,
}

impl Desk {
    pub(super) fn status(&self) -> Status {
        let uptime = Timestamp::now().duration_since(self.started);
        Status {
            daemon: self.daemon.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            api: redacted(self.client.api_url()),
            started: self.started,
            uptime_seconds: uptime.as_secs().try_into().unwrap_or(0),
            state: self.state(),
            live: self.live.total(),
            live_elsewhere: self.live.count(PoolIndex::ELSEWHERE),
            pools: self.pools.iter().map(|pool| pool.status(&self.live)).collect(),
        }
    }

    pub(super) fn state(&self) -> DaemonState {
        match *self.course.borrow() {
            Course::Staying if *self.cordoned.borrow() => DaemonState::Cordoned,
            Course::Staying => DaemonState::Serving,
            Course::Stopping | Course::Ended(_) => DaemonState::Draining,
        }
    }

    /// The live runs, those first that have been where they are for longest.
    pub(super) fn runs(&self) -> Vec<RunSeen> {
        let mut runs: Vec<_> = self.live.sightings().into_iter().map(|sighting| self.run(sighting)).collect();
        runs.sort_by_key(|run| (run.since, run.id.to_string()));
        runs
    }

    pub(super) fn run(&self, Sighting { seen, .. }: Sighting) -> RunSeen {
        RunSeen {
            daemon: self.daemon.clone(),
            id: seen.key.run,
            name: seen.name,
            pool: seen.pool,
            stage: seen.stage,
            since: seen.since,
            infrastructure: seen.infrastructure.map(|id| id.to_string()),
            adopted: seen.is_adopted,
        }
    }

    /// Takes nothing new from now on, or again. It is on disk before it is so, because it is to survive this process.
    pub(super) async fn cordon(&self, cordoned: bool) -> Result<Cordoned, JournalError> {
        self.journal.remember(CORDONED, &cordoned).await?;
        let changed = self.cordoned.send_replace(cordoned) != cordoned;
        if changed {
            let what = if cordoned { "cordoned: it takes no new runs" } else { "uncordoned: it takes runs again" };
            tracing::info!("this worker was {what}");
        }
        Ok(Cordoned { daemon: self.daemon.clone(), cordoned, changed })
    }

    /// Asks the daemon to stop once its runs are over.
    pub(super) fn drain(&self, drain: Drain) -> Draining {
        let is_staying = *self.course.borrow() == Course::Staying;
        // Full or closed: somebody asked before.
        let taken = is_staying && self.drains.try_send(drain).is_ok();
        Draining { daemon: self.daemon.clone(), pid: std::process::id(), live: self.live.total(), already: !taken }
    }

    /// Waits for the end. Cancel safe.
    pub(super) async fn end(&self) -> Option<Ended> {
        let mut course = self.course.subscribe();
        let ended = course.wait_for(|course| matches!(course, Course::Ended(_))).await.ok()?;
        match *ended {
            Course::Ended(stopped) => Some(Ended { stopped }),
            Course::Staying | Course::Stopping => None,
        }
    }

    /// The pool of a name, if it is one of this daemon's.
    pub(super) fn pool(&self, name: &str) -> Option<&PlannedPool> {
        self.pools.iter().find(|pool| pool.plan.pool == name)
    }
}

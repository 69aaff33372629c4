//! What the answers are made from.

use std::sync::Arc;
use std::time::Duration;

use central_api_client::{Client, redacted};
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use super::answers::{Cordoned, Course, DaemonState, Draining, Ended, RunSeen, Status, WorkspaceStatus};
use super::pools::Pools;
use crate::budget::Budget;
use crate::journal::{DiskJournal, JournalError};
use crate::live_runs::{LiveRuns, PoolIndex, Sighting, WorkspaceIndex};
use crate::timeline::Timelines;

/// What the journal remembers of a daemon that is not to take new runs.
pub const CORDONED: &str = "cordoned";

/// The operator wants the daemon to end once its runs are over.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// After this runs are stopped; without it they are waited for as long as they take.
    pub timeout: Option<Duration>,
}

/// One API as the desk needs it.
pub struct DeskWorkspace {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The API.
    pub client: Client,
    /// What was decided about runs of it that are over.
    pub journal: Arc<DiskJournal>,
}

/// What a daemon shows to its operator, and takes from him.
pub struct Desk {
    /// The name of the daemon's folder.
    pub daemon: String,
    /// When it started.
    pub started: Timestamp,
    /// The APIs, in the order of their indexes.
    pub workspaces: Vec<DeskWorkspace>,
    /// All live runs.
    pub live: LiveRuns,
    /// What was decided about runs.
    pub timelines: Timelines,
    /// The pools.
    pub pools: Pools,
    /// How many runs all pools together may have.
    pub budget: Budget,
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
        let api = |workspace: &DeskWorkspace| redacted(workspace.client.api_url());
        let of = |workspace: &DeskWorkspace| WorkspaceStatus { name: workspace.name.clone(), api: api(workspace) };
        let is_alone = matches!(self.workspaces.as_slice(), [only] if only.name.is_none());
        let elsewhere = |(at, _)| self.live.count(PoolIndex::elsewhere(WorkspaceIndex(at)));
        Status {
            daemon: self.daemon.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            api: self.workspaces.first().map(api).unwrap_or_default(),
            workspaces: if is_alone { Vec::new() } else { self.workspaces.iter().map(of).collect() },
            started: self.started,
            uptime_seconds: uptime.as_secs().try_into().unwrap_or(0),
            state: self.state(),
            live: self.live.total(),
            max_runs: self.budget.most().get(),
            live_elsewhere: self.workspaces.iter().enumerate().map(elsewhere).sum(),
            pools: self.pools.all().iter().map(|pool| pool.status(&self.live)).collect(),
        }
    }

    pub(super) fn state(&self) -> DaemonState {
        DaemonState::of(*self.course.borrow(), *self.cordoned.borrow())
    }

    /// The live runs, those first that have been where they are for longest.
    pub(super) fn runs(&self) -> Vec<RunSeen> {
        let mut runs: Vec<_> = self.live.sightings().into_iter().map(|sighting| self.run(sighting)).collect();
        runs.sort_by_key(|run| (run.since, run.id.to_string()));
        runs
    }

    pub(super) fn run(&self, Sighting { seen, pool }: Sighting) -> RunSeen {
        RunSeen {
            workspace: self.workspaces.get(pool.workspace.0).and_then(|workspace| workspace.name.clone()),
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
        for workspace in &self.workspaces {
            workspace.journal.remember(CORDONED, &cordoned).await?;
        }
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
}

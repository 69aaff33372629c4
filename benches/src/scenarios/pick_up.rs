//! From the creation of a run to its process, while the worker has nothing else to do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use worker_core::ids::RunId;

use super::{SOON, gave_up};
use crate::extent::Extent;
use crate::figures::Report;
use crate::stage::{POOL, Stage};
use crate::subject::{Programs, Running};

/// The first argument that makes this program write down when it began.
pub(crate) const STAMP: &str = "stamp";

pub(super) async fn measure(programs: &Programs, extent: &Extent, report: &mut Report) {
    for who in programs.workers() {
        let stage = Stage::new().await;
        let mut worker = programs.start(who, stage.url(), POOL);
        if !stage.until(&mut worker, SOON, |stage| stage.first_poll().is_some()).await {
            gave_up(report, who, "poll", &worker);
            continue;
        }
        tokio::time::sleep(extent.settled).await;
        let stamps = Stamps::of(&worker);
        let deployment = stage.engine(&stamps.command());
        let mut made = Vec::new();
        for turn in 0..extent.pick_ups {
            tokio::time::sleep(pause(turn)).await;
            let Some(run) = stage.due(deployment, 1).pop() else { continue };
            made.push(run);
            if !stage.until(&mut worker, SOON, |_| stamps.read(run).is_some()).await {
                gave_up(report, who, "start a run", &worker);
                break;
            }
            if let (Some(created), Some(started)) = (stage.made(run), stamps.read(run)) {
                let waited = started.duration_since(created).as_secs_f64() * 1000.0;
                report.add("created to process started, idle worker, ms", who, waited);
            }
        }
        stage.until(&mut worker, SOON, |stage| stage.executed() >= made.len()).await;
        report.count(who, stage.tally(&made));
    }
}

/// Spread over the interval between two polls, so that it does not matter where in it a run is made.
pub(super) fn pause(turn: usize) -> Duration {
    Duration::from_millis(700 + u64::try_from(turn).unwrap_or(0) % 8 * 970)
}

/// When processes began, as they write it down themselves.
pub(super) struct Stamps(PathBuf);

impl Stamps {
    /// In the home of a worker.
    pub(super) fn of(worker: &Running) -> Self {
        Self(worker.home().to_owned())
    }

    /// What a run has to execute.
    pub(super) fn command(&self) -> String {
        let this = std::env::current_exe().expect("a running program has a path");
        format!("{} {STAMP} {}", this.display(), self.0.display())
    }

    /// When the process of a run began, once it did.
    pub(super) fn read(&self, run: RunId) -> Option<Timestamp> {
        std::fs::read_to_string(self.0.join(run.to_string())).ok()?.parse().ok()
    }
}

/// What a run of this scenario does.
pub(crate) fn stamp(folder: &str) {
    let now = Timestamp::now().to_string();
    let run = std::env::var_os("PREFECT__FLOW_RUN_ID").unwrap_or_default();
    let at = Path::new(folder);
    let written = at.join("new").with_added_extension(&run);
    // Renamed, so that nobody reads half of it.
    drop(std::fs::write(&written, now).and_then(|()| std::fs::rename(&written, at.join(run))));
}

//! SIGHUP: the settings are read again from where they came, and what can be changed is.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use worker_config::{Effective, RunsAtStop};

use super::changes::{Changes, changes};
use crate::plan::ShutdownPlan;
use crate::signals::ReloadSignal;
use crate::slot_limit::SlotLimit;
use crate::telemetry::LogLevel;

/// What a running daemon can change.
#[derive(Clone, Debug)]
pub struct Changeable {
    /// Directives of the daemon's own log.
    pub log: String,
    /// What becomes of runs when the daemon stops.
    pub runs_at_stop: RunsAtStop,
    /// How long they are waited for.
    pub drain_timeout: Duration,
    /// Most runs of each pool.
    pub limits: Vec<(String, Option<usize>)>,
}

/// The settings as they are now.
pub struct Reading {
    /// What can be changed.
    pub changeable: Changeable,
    /// All of them, as they are shown to people.
    pub report: Vec<Effective>,
    /// What is odd about them.
    pub warnings: Vec<String>,
}

/// Reads the settings from the sources of the start, or says everything that is wrong with them.
pub type ReadAgain = Arc<dyn Fn() -> Result<Reading, Vec<String>> + Send + Sync>;

/// What reading again needs.
pub struct Reloading {
    /// How to read.
    pub read: ReadAgain,
    /// The settings that the daemon was started with.
    pub in_force: Vec<Effective>,
    /// The level of the log.
    pub log: LogLevel,
}

/// Waits for SIGHUP.
pub struct Reloader {
    /// What reading needs.
    pub reloading: Reloading,
    /// What becomes of runs when the daemon stops.
    pub shutdown: watch::Sender<ShutdownPlan>,
    /// The limits of the pools that are served.
    pub limits: Vec<(String, SlotLimit)>,
}

impl Reloader {
    /// Reads again with every signal until told to stop.
    pub async fn run(mut self, mut signal: ReloadSignal, stop: CancellationToken) {
        while stop.run_until_cancelled(signal.next()).await.is_some() {
            let read = Arc::clone(&self.reloading.read);
            match tokio::task::spawn_blocking(move || read()).await {
                Ok(Ok(reading)) => self.apply(reading),
                Ok(Err(problems)) => {
                    let problems = problems.join("; ");
                    tracing::error!("Received SIGHUP, and the settings have errors, so all stays as it is: {problems}");
                }
                Err(error) => tracing::error!("the settings could not be read again: {error}"),
            }
        }
    }

    fn apply(&mut self, reading: Reading) {
        let Changes { now, after_a_restart } = changes(&self.reloading.in_force, &reading.report);
        let Changeable { log, runs_at_stop, drain_timeout, limits } = reading.changeable;
        if let Err(error) = self.reloading.log.set(&log) {
            tracing::error!("Received SIGHUP, and the log level cannot be understood, so all stays as it is: {error}");
            return;
        }
        self.shutdown.send_modify(|plan| *plan = ShutdownPlan { runs: runs_at_stop, drain_timeout, ..*plan });
        for (pool, most) in limits {
            if let Some((_, limit)) = self.limits.iter().find(|(name, _)| *name == pool) {
                limit.set(most);
            }
        }
        for warning in reading.warnings {
            tracing::warn!("{warning}");
        }
        if now.is_empty() {
            tracing::info!("Received SIGHUP. Nothing changed that can take effect now.");
        } else {
            tracing::info!("Received SIGHUP. Changed: {}", now.join(", "));
        }
        if !after_a_restart.is_empty() {
            tracing::warn!("only after a restart these settings take effect: {}", after_a_restart.join(", "));
        }
        // What needs a restart stays as it was, and is said again the next time.
        let stays = |setting: &Effective| after_a_restart.contains(&setting.key);
        self.reloading.in_force.retain(&stays);
        self.reloading.in_force.extend(reading.report.into_iter().filter(|setting| !stays(setting)));
    }
}

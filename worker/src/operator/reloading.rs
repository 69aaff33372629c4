//! SIGHUP: the settings are read again from where they came, and what can be changed is.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use worker_config::{Effective, RunsAtStop};

use super::changes::{Changes, changes};
use crate::liveness::Pulse;
use crate::plan::{PoolPlan, ShutdownPlan};
use crate::policy::PolicyInForce;
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
    /// Most runs of all pools.
    pub max_runs: Option<usize>,
    /// The pools, as they are asked for now.
    pub pools: Vec<PoolPlan>,
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
    /// Most runs of all pools.
    pub max_runs: SlotLimit,
    /// Takes the pools that are to be served.
    pub pools: mpsc::Sender<Vec<PoolPlan>>,
    /// What runs may be: it has a file of its own.
    pub policy: PolicyInForce,
    /// Shows that a signal would be heard.
    pub pulse: Pulse,
}

/// How long it may take to read the settings, on a slow disk.
const READING: Duration = Duration::from_mins(1);
/// How long pools may wait for the daemon to take them.
const TAKING: Duration = Duration::from_mins(1);

impl Reloader {
    /// Reads again with every signal until told to stop.
    pub async fn run(mut self, mut signal: ReloadSignal, stop: CancellationToken) {
        while stop.run_until_cancelled(self.pulse.idle(signal.next())).await.is_some() {
            let read = Arc::clone(&self.reloading.read);
            match self.pulse.during(READING, tokio::task::spawn_blocking(move || read())).await {
                Ok(Ok(reading)) => self.apply(reading).await,
                Ok(Err(problems)) => {
                    let problems = problems.join("; ");
                    tracing::error!("Received SIGHUP, and the settings have errors, so all stays as it is: {problems}");
                }
                Err(error) => tracing::error!("the settings could not be read again: {error}"),
            }
            let policy = self.policy.clone();
            let reloaded = tokio::task::spawn_blocking(move || policy.reload());
            if let Err(error) = self.pulse.during(READING, reloaded).await {
                tracing::error!("the policy could not be read again: {error}");
            }
        }
    }

    async fn apply(&mut self, reading: Reading) {
        let Changes { now, after_a_restart } = changes(&self.reloading.in_force, &reading.report);
        let Changeable { log, runs_at_stop, drain_timeout, max_runs, pools } = reading.changeable;
        if let Err(error) = self.reloading.log.set(&log) {
            tracing::error!("Received SIGHUP, and the log level cannot be understood, so all stays as it is: {error}");
            return;
        }
        self.shutdown.send_modify(|plan| *plan = ShutdownPlan { runs: runs_at_stop, drain_timeout, ..*plan });
        self.max_runs.set(max_runs);
        for warning in reading.warnings {
            tracing::warn!("{warning}");
        }
        if now.is_empty() {
            tracing::info!("Received SIGHUP. Nothing changed that can take effect now.");
        } else {
            tracing::info!("Received SIGHUP. Changed: {}", now.join(", "));
        }
        // Also if nothing changed: a pool that could not be served before is tried again.
        if self.pulse.during(TAKING, self.pools.send(pools)).await.is_err() {
            tracing::debug!("the daemon stops, and serves no other pools");
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

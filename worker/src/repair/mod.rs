//! Bringing together what the journal, the backends and the API know of our runs: once before the first poll, and every
//! minute.
//!
//! A loop of its own. It adopts what daemons left that did not come back, tells live runs what the API decided about them
//! unheard, and takes in hand infrastructure that carries our mark and that no record tells of.

mod judgement;
mod pass;

use std::sync::Arc;
use std::time::Duration;

use central_api_client::Client;
use infra_contract::InfraPlugin;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::adoption::Adoption;
use crate::live_runs::{LiveRuns, WorkspaceIndex};
use crate::liveness::Pulse;
use crate::metrics::Metrics;
use crate::pool::pace;
use crate::returned_memory;
use crate::run::ErrorChain;

/// Mean time between two passes.
pub const INTERVAL: Duration = Duration::from_mins(1);
/// The pause while what others left is still being looked at.
const SOON: Duration = Duration::from_secs(3);
/// A pass that takes longer is begun anew: a backend that does not answer must not end the repairing of what others have.
const LONGEST_PASS: Duration = Duration::from_mins(5);
/// Polls wait this long for the first pass. An API that answers polls and not this one must not keep the worker idle.
const FIRST_PASS: Duration = Duration::from_secs(10);

/// The repair loop of one API of a daemon.
pub struct Repair {
    /// Which of them.
    pub workspace: WorkspaceIndex,
    /// The API.
    pub client: Client,
    /// All live runs.
    pub live: LiveRuns,
    /// Every plugin that is in use.
    pub plugins: Vec<Arc<dyn InfraPlugin>>,
    /// How runs are taken over.
    pub adoption: Arc<Adoption>,
    /// How long infrastructure has to end by itself.
    pub grace: Duration,
    /// Set once the first pass is over, or has had its time.
    pub first_pass: watch::Sender<bool>,
    /// Where what is put right is counted.
    pub metrics: Metrics,
    /// That the loop turns.
    pub pulse: Pulse,
}

impl Repair {
    /// Repairs until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut failures = 0;
        let first_pass = tokio::time::sleep(FIRST_PASS);
        tokio::pin!(first_pass);
        loop {
            let passed = {
                let pass = timeout(LONGEST_PASS, self.pass());
                let pass = self.pulse.during(LONGEST_PASS, pass);
                tokio::pin!(pass);
                loop {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        passed = &mut pass => break passed,
                        () = &mut first_pass, if !*self.first_pass.borrow() => {
                            self.first_pass.send_replace(true);
                        }
                    }
                }
            };
            let pause = match passed {
                Ok(Ok(more_to_come)) => {
                    failures = 0;
                    returned_memory::after_a_look_at(self.live.total()).await;
                    self.first_pass.send_replace(true);
                    if more_to_come { SOON } else { pace::jittered(INTERVAL) }
                }
                Ok(Err(error)) => {
                    failures += 1;
                    tracing::debug!("runs could not be compared with the API: {}", ErrorChain(&error));
                    pace::after_failure(failures, INTERVAL, error.retry_after())
                }
                Err(_) => {
                    failures += 1;
                    tracing::warn!(
                        "comparing runs with what is there took more than {LONGEST_PASS:?}; it is begun anew"
                    );
                    pace::after_failure(failures, INTERVAL, None)
                }
            };
            let pause = self.pulse.idle(tokio::time::sleep(pause));
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = &mut pause => break,
                    () = &mut first_pass, if !*self.first_pass.borrow() => {
                        self.first_pass.send_replace(true);
                    }
                }
            }
        }
    }
}

//! What a live run shows of itself to whoever does not execute it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use infra_contract::{CancelsRunning, Capabilities};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use worker_core::ids::{InfraId, LaunchKey};
use worker_core::machine::{Phase, Run};
use worker_core::spec::ReportState;

/// Where a run is, in the words that people are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The server is being asked for it.
    Claiming,
    /// Its configuration and code are being brought together.
    Preparing,
    /// Its infrastructure is being started.
    Launching,
    /// It executes.
    Running,
    /// It is being stopped.
    Stopping,
    /// Its end is being reported.
    Reporting,
    /// Leftovers are being removed.
    CleaningUp,
}

/// A run at one moment.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The execution.
    pub key: LaunchKey,
    /// The flow run's name.
    pub name: String,
    /// The pool that offered it.
    pub pool: String,
    /// Where it is.
    pub stage: Stage,
    /// Since when.
    pub since: Timestamp,
    /// Its infrastructure, once there is some.
    pub infrastructure: Option<InfraId>,
    /// Whether an earlier process took it on.
    pub is_adopted: bool,
    /// What its kind of infrastructure can do.
    pub capabilities: Capabilities,
    /// Who reports its states.
    pub report_state: ReportState,
    /// Whether a supervisor runs in its infrastructure, once that is known.
    pub is_supervised: Option<bool>,
}

impl Seen {
    /// Whether something inside its infrastructure ends it when it is cancelled, once it has started.
    pub fn cancels_itself(&self) -> bool {
        self.capabilities.cancels_running == CancelsRunning::Infrastructure
            && self.report_state == ReportState::Engine
            && self.is_supervised.unwrap_or(true)
    }
}

/// Shared between a run's actor, which writes, and everybody else.
#[derive(Clone, Debug)]
pub struct Glance(Arc<Mutex<Seen>>);

impl Glance {
    /// A run that is about to be claimed, or was read back.
    pub fn new(key: LaunchKey, name: &str, pool: &str, capabilities: Capabilities, is_adopted: bool) -> Self {
        Self(Arc::new(Mutex::new(Seen {
            key,
            name: name.to_owned(),
            pool: pool.to_owned(),
            stage: Stage::Claiming,
            since: Timestamp::now(),
            infrastructure: None,
            is_adopted,
            capabilities,
            report_state: ReportState::default(),
            is_supervised: None,
        })))
    }

    /// The execution.
    pub fn key(&self) -> LaunchKey {
        self.lock().key
    }

    /// The run as it is now.
    pub fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// Takes in where a run is.
    pub(crate) fn saw(&self, run: &Run) {
        let stage = match &run.phase {
            Phase::Claiming => Stage::Claiming,
            Phase::Preparing | Phase::Announcing => Stage::Preparing,
            Phase::Launching => Stage::Launching,
            Phase::Running(_) => Stage::Running,
            Phase::Stopping(_) => Stage::Stopping,
            Phase::Reporting(..) => Stage::Reporting,
            Phase::CleaningUp(_) | Phase::Done => Stage::CleaningUp,
        };
        let mut seen = self.lock();
        if seen.stage != stage {
            seen.stage = stage;
            seen.since = Timestamp::now();
        }
        seen.report_state = run.report_state;
        if let Some(handle) = run.handle() {
            seen.infrastructure = Some(handle.infra_id.clone());
            seen.is_supervised = Some(handle.cancels_itself);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

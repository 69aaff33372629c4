//! What a live run shows of itself to whoever does not execute it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use worker_core::ids::{InfraId, LaunchKey};
use worker_core::machine::{Phase, Run};

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
}

/// Shared between a run's actor, which writes, and everybody else.
#[derive(Clone, Debug)]
pub struct Glance(Arc<Mutex<Seen>>);

impl Glance {
    /// A run that is about to be claimed, or was read back.
    pub fn new(key: LaunchKey, name: &str, pool: &str, is_adopted: bool) -> Self {
        Self(Arc::new(Mutex::new(Seen {
            key,
            name: name.to_owned(),
            pool: pool.to_owned(),
            stage: Stage::Claiming,
            since: Timestamp::now(),
            infrastructure: None,
            is_adopted,
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
        if let Some(handle) = run.handle() {
            seen.infrastructure = Some(handle.infra_id.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

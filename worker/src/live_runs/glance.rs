//! What a live run shows of itself to whoever does not execute it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use infra_contract::{CancelsRunning, Capabilities};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use worker_core::handle::PluginKind;
use worker_core::ids::{InfraId, LaunchKey};
use worker_core::machine::{Phase, Run};
use worker_core::spec::ReportState;

use crate::slots_held::SlotsHeld;

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

impl Stage {
    /// All of them, in the order in which a run comes by.
    pub const ALL: [Self; 7] = [
        Self::Claiming,
        Self::Preparing,
        Self::Launching,
        Self::Running,
        Self::Stopping,
        Self::Reporting,
        Self::CleaningUp,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claiming => "claiming",
            Self::Preparing => "preparing",
            Self::Launching => "launching",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Reporting => "reporting",
            Self::CleaningUp => "cleaning_up",
        }
    }
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
    /// The kind of its infrastructure.
    pub kind: PluginKind,
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
    /// Until when it holds its slot.
    pub slots_held: SlotsHeld,
    /// Who reports its states.
    pub report_state: ReportState,
    /// Whether a supervisor runs in its infrastructure, once that is known.
    pub is_supervised: Option<bool>,
}

impl Seen {
    /// Whether it counts for the limit of its pool. What the infrastructure is called is never forgotten again, so a slot
    /// that was given back is not taken a second time.
    pub const fn holds_slot(&self) -> bool {
        self.slots_held.holds(self.infrastructure.is_some())
    }

    /// Whether something inside its infrastructure ends it when it is cancelled, once it has started.
    pub fn cancels_itself(&self) -> bool {
        self.capabilities.cancels_running == CancelsRunning::Infrastructure
            && self.report_state == ReportState::Engine
            && self.is_supervised.unwrap_or(true)
    }
}

/// How far a run is, without what it is called.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The execution.
    pub key: LaunchKey,
    /// Where it is.
    pub stage: Stage,
    /// Since when.
    pub since: Timestamp,
    /// Whether its launch has said that it waits for something outside this machine.
    pub waits: bool,
}

/// Shared between a run's actor, which writes, and everybody else.
#[derive(Clone, Debug)]
pub struct Glance(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    seen: Mutex<Seen>,
    /// The launch waits for something outside this machine.
    waits: AtomicBool,
    /// Told when the run gives back its slot before its end.
    changes: OnceLock<watch::Sender<u64>>,
}

impl Glance {
    /// A run that is about to be claimed, or was read back.
    pub fn new(
        key: LaunchKey,
        name: &str,
        pool: &str,
        kind: PluginKind,
        capabilities: Capabilities,
        is_adopted: bool,
    ) -> Self {
        let seen = Mutex::new(Seen {
            key,
            name: name.to_owned(),
            pool: pool.to_owned(),
            kind,
            stage: Stage::Claiming,
            since: Timestamp::now(),
            infrastructure: None,
            is_adopted,
            capabilities,
            slots_held: SlotsHeld::default(),
            report_state: ReportState::default(),
            is_supervised: None,
        });
        Self(Arc::new(Shared { seen, waits: AtomicBool::new(false), changes: OnceLock::new() }))
    }

    /// The same, for a run of a kind whose runs hold their slots so long.
    #[must_use]
    pub fn holding_its_slot(self, slots_held: SlotsHeld) -> Self {
        self.lock().slots_held = slots_held;
        self
    }

    /// Lets the table know of slots that are given back. The table that came first counts.
    pub(super) fn in_table(&self, changes: &watch::Sender<u64>) {
        self.0.changes.get_or_init(|| changes.clone());
    }

    /// Whether the run counts for the limit of its pool.
    pub(super) fn holds_slot(&self) -> bool {
        self.lock().holds_slot()
    }

    /// The execution.
    pub fn key(&self) -> LaunchKey {
        self.lock().key
    }

    /// The run as it is now.
    pub fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// How far the run is.
    pub fn progress(&self) -> Progress {
        let waits = self.0.waits.load(Ordering::Relaxed);
        let seen = self.lock();
        Progress { key: seen.key, stage: seen.stage, since: seen.since, waits }
    }

    /// The launch waits for something outside this machine: an image, a node.
    pub(crate) fn waits(&self) {
        self.0.waits.store(true, Ordering::Relaxed);
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
        let held_slot = seen.holds_slot();
        if seen.stage != stage {
            seen.stage = stage;
            seen.since = Timestamp::now();
        }
        seen.report_state = run.report_state;
        if let Some(handle) = run.handle() {
            seen.infrastructure = Some(handle.infra_id.clone());
            seen.is_supervised = Some(handle.cancels_itself);
        }
        let gives_back = held_slot && !seen.holds_slot();
        drop(seen);
        if gives_back && let Some(changes) = self.0.changes.get() {
            changes.send_modify(|generation| *generation += 1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

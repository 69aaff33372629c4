//! What a supervisor is told when it is started, and what it answers.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::Utf8PathBuf;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use worker_core::ids::LaunchKey;
use worker_core::spec::ReportState;

use crate::confinement::Confinement;
use crate::confinement::room::Room;
use crate::procfs::Identity;

/// Of which release this program is. Both sides of a launch must be of one.
pub(crate) const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// How long after the worker began the launch a supervisor may still claim it. A worker that has given the launch up
/// keeps its own claim for longer than this.
pub(crate) const CLAIM_LIMIT: Duration = Duration::from_secs(5);

/// A run to be started. Holds secrets: it comes through a pipe and is never written down.
#[derive(Serialize, Deserialize)]
pub(crate) struct LaunchSpec {
    /// The worker's release.
    pub(crate) release: String,
    pub(crate) key: LaunchKey,
    pub(crate) owner: String,
    pub(crate) folder: Utf8PathBuf,
    /// Milliseconds since boot.
    pub(crate) asked_at: u64,
    /// How many files the run may open, where the worker may open more.
    pub(crate) open_files: Option<u64>,
    pub(crate) program: Utf8PathBuf,
    pub(crate) arguments: Vec<String>,
    /// The whole environment but for the control session.
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) working_dir: Utf8PathBuf,
    /// Who reports the run's states.
    #[serde(default)]
    pub(crate) report_state: ReportState,
    pub(crate) streams_output: bool,
    /// How the run is kept apart.
    #[serde(default)]
    pub(crate) confinement: Confinement,
    /// What it sees of the file system, if not all.
    #[serde(default)]
    pub(crate) room: Option<Room>,
    /// The words that start the Python of the default command; none for another command.
    pub(crate) python: Vec<String>,
    /// What a process that a zygote has forked needs besides.
    #[serde(default)]
    pub(crate) warm: Option<WarmStart>,
}

/// How the module search path of a run differs from that of the zygote which it is forked from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WarmStart {
    /// The run's `PYTHONPATH`.
    pub(crate) python_path: Vec<String>,
    /// The zygote's.
    pub(crate) python_path_before: Vec<String>,
}

/// What became of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// It runs.
    Started(Started),
    /// Somebody else has claimed it.
    AlreadyClaimed,
    /// The command cannot be executed, for this reason of the system.
    NotExecutable { errno: Option<i32> },
    /// The run cannot be kept apart as it should be.
    NotConfined { reason: String },
    /// Nothing was started: it was too late, or the folder cannot be used.
    Refused { reason: String },
}

/// The processes of a run that runs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Started {
    pub(crate) process: Identity,
    pub(crate) supervisor: Identity,
}

/// The clock that both sides can compare: it goes on while the machine sleeps, and nobody sets it.
pub(crate) fn since_boot() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}

//! Who executes a run: the one fact that must never be decided twice.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use worker_core::ids::LaunchKey;

use crate::procfs::{self, Identity};

/// The claim on a launch key. Whoever makes it is the only one that ever starts something under that key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "claimed_by", rename_all = "snake_case")]
pub(crate) enum Claim {
    /// A supervisor, which starts the run.
    Supervisor(Supervised),
    /// A worker that has given the launch up: a supervisor on its way finds this and starts nothing.
    Nobody,
}

/// What can be known of a run before it starts, for a later worker that finds only its folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Supervised {
    pub(crate) key: LaunchKey,
    pub(crate) owner: String,
    pub(crate) supervisor: Identity,
    /// The boot of the machine that start times count from.
    pub(crate) boot_id: Option<String>,
    /// Whether the run's output is relayed.
    pub(crate) streams_output: bool,
    /// The cgroup that is made for the run, if one may be.
    pub(crate) cgroup: Option<Utf8PathBuf>,
}

impl Supervised {
    /// Whether the machine was restarted since: nothing of the run lives then, and numbers mean nothing.
    pub(crate) fn is_of_an_earlier_boot(&self) -> bool {
        self.boot_id != procfs::boot_id()
    }
}

//! Who executes a run: the one fact that must never be decided twice.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use worker_core::ids::LaunchKey;
use worker_core::spec::ReportState;

use crate::procfs::{self, Identity};

/// The claim on a launch key. Whoever makes it is the only one that ever starts something under that key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "claimed_by", rename_all = "snake_case")]
pub(crate) enum Claim {
    /// A supervisor, which starts the run.
    Supervisor(Supervised),
    /// A worker that has given the launch up: a supervisor on its way finds this and starts nothing.
    Nobody(Fence),
    /// Somebody, but a failure of the machine has torn what was written. Never written.
    #[serde(skip)]
    Torn,
}

/// A claim for nobody, told from a later one on the same run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fence {
    /// Microseconds since boot.
    pub(crate) put_up_at: u64,
}

/// What can be known of a run before it starts, for a later worker that finds only its folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Supervised {
    pub(crate) key: LaunchKey,
    pub(crate) owner: String,
    pub(crate) supervisor: Identity,
    /// The boot of the machine that start times count from.
    pub(crate) boot_id: Option<String>,
    /// Who reports the run's states.
    #[serde(default)]
    pub(crate) report_state: ReportState,
    /// Whether the run's output is relayed.
    pub(crate) streams_output: bool,
    /// The cgroup that is made for the run, if one may be.
    pub(crate) cgroup: Option<Utf8PathBuf>,
}

impl Claim {
    /// Who executes the run, or the fence that says that nobody does.
    pub(crate) fn supervised(self, key: &LaunchKey) -> Result<Supervised, Fence> {
        match self {
            Self::Supervisor(supervised) => Ok(supervised),
            Self::Torn => Ok(Supervised::lost_with_the_machine(*key)),
            Self::Nobody(fence) => Err(fence),
        }
    }
}

impl Supervised {
    /// Whoever had made a claim that is torn. It may have started the run: nobody may start it again.
    fn lost_with_the_machine(key: LaunchKey) -> Self {
        Self {
            key,
            owner: String::new(),
            supervisor: Identity { pid: 0, started: None },
            boot_id: Some("unknown".to_owned()),
            report_state: ReportState::Engine,
            streams_output: false,
            cgroup: None,
        }
    }

    /// Whether the machine was restarted since: nothing of the run lives then, and numbers mean nothing.
    pub(crate) fn is_of_an_earlier_boot(&self) -> bool {
        self.boot_id.as_deref() != procfs::boot_id()
    }
}

//! What keeps a run apart from the rest of the machine.
//!
//! Limits are cgroups that the supervisor makes before the run starts. The rest needs a process that is about to become the run: the
//! supervisor's program is executed once more ([`enter`]), does it to itself and executes the command.

pub(crate) mod enter;
mod limits;
pub(crate) mod room;
mod user;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub(crate) use limits::{Limits, missing_controllers, remove_leftovers};
pub use user::{RunAs, UnknownUser};

/// Variables that are about the worker's user.
const OF_THE_USER: [&str; 11] = [
    "HOME",
    "USER",
    "LOGNAME",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "XDG_RUNTIME_DIR",
    "PREFECT_HOME",
    "PREFECT_PROFILES_PATH",
    "UV_CACHE_DIR",
];

/// How runs are kept apart. Nothing of it is, by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// The user that runs are executed as, instead of the worker's. They then see of the worker's state directory only what is their
    /// own.
    pub run_as: Option<RunAs>,
    /// The most memory that the processes of a run have together, in bytes.
    pub max_memory: Option<u64>,
    /// The most of the processors that they have together: a hundred is one.
    pub max_cpu_percent: Option<u64>,
    /// The most processes and threads.
    pub max_processes: Option<u64>,
    /// The most files that one process has open.
    pub max_open_files: Option<u64>,
    /// How long a run may take, in seconds.
    pub time_limit: Option<u64>,
    /// Whether `/tmp` and `/var/tmp` are directories of the run's own.
    pub private_tmp: bool,
    /// Whether no program gives a run more rights than it has (`sudo`, files with setuid).
    pub no_new_privileges: bool,
}

impl Confinement {
    /// Whether something has to be done by the process that becomes the run.
    pub(crate) fn changes_the_process(&self) -> bool {
        self.has_a_room() || self.run_as.is_some() || self.max_open_files.is_some() || self.no_new_privileges
    }

    /// Whether the run has a view of the file system of its own.
    pub(crate) const fn has_a_room(&self) -> bool {
        self.private_tmp || self.run_as.is_some()
    }

    /// Makes an environment one of the run's own user and room: what is the worker's user's leads nowhere there.
    pub(crate) fn suit(&self, environment: &mut BTreeMap<String, String>, configured: &BTreeSet<String>) {
        let mut remove = |name: &str| {
            if !configured.contains(name) {
                environment.remove(name);
            }
        };
        if self.private_tmp {
            for name in ["TMPDIR", "TMP", "TEMP"] {
                remove(name);
            }
        }
        let Some(run_as) = &self.run_as else { return };
        for name in OF_THE_USER {
            remove(name);
        }
        for (name, value) in [("HOME", &run_as.home), ("USER", &run_as.name), ("LOGNAME", &run_as.name)] {
            environment.entry(name.to_owned()).or_insert_with(|| value.clone());
        }
    }

    /// Whether only root can do it.
    pub(crate) const fn needs_root(&self) -> bool {
        self.has_a_room()
    }
}

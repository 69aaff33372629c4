//! A cgroup of the run's own, where the machine has cgroups of the second version and lets us make one.
//!
//! It is made below the supervisor's, and the command is forked inside it: the supervisor moves there for that moment. No
//! process of the run can be outside then.

use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use worker_core::ids::LaunchKey;

use crate::procfs;

/// Where the second version is mounted: alone, or beside the first.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// How long the kernel may take to let go of a cgroup whose processes have been killed.
const REMOVAL_PASSES: u32 = 20;
const REMOVAL_INTERVAL: Duration = Duration::from_millis(10);

/// The cgroup of a run.
#[derive(Debug)]
pub(crate) struct Cgroup(Utf8PathBuf);

/// Where a run's cgroup would be; `None` where there are none of the second version.
pub(crate) fn path_for(key: &LaunchKey) -> Option<Utf8PathBuf> {
    Some(own_directory()?.join(format!("run-{key}")))
}

/// The directory of this process's own cgroup of the second version.
pub(crate) fn own_directory() -> Option<&'static Utf8Path> {
    static FOUND: OnceLock<Option<Utf8PathBuf>> = OnceLock::new();
    FOUND.get_or_init(find_own_directory).as_deref()
}

fn find_own_directory() -> Option<Utf8PathBuf> {
    let mount = MOUNTS.into_iter().find(|mount| Utf8Path::new(mount).join("cgroup.controllers").exists())?;
    let membership = procfs::own_cgroups()?;
    let own = membership.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Utf8Path::new(mount).join(own))
}

impl Cgroup {
    /// Makes it; `None` if that is not allowed.
    pub(crate) fn make(path: &Utf8Path) -> Option<Self> {
        match std::fs::create_dir(path) {
            Ok(()) => Some(Self(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Some(Self(path.to_owned())),
            Err(_) => None,
        }
    }

    /// One that was made earlier, if it still is there.
    pub(crate) fn existing(path: &Utf8Path) -> Option<Self> {
        path.exists().then(|| Self(path.to_owned()))
    }

    pub(crate) fn path(&self) -> &Utf8Path {
        &self.0
    }

    /// Does something that forks, with this process inside for the moment; false beside it if this process could not
    /// get in or, what must not be, not out again.
    pub(crate) fn around<T>(&self, fork: impl FnOnce() -> T) -> (T, bool) {
        if enter(&self.0).is_err() {
            return (fork(), false);
        }
        let forked = fork();
        let left = self.0.parent().is_some_and(|outside| enter(outside).is_ok());
        (forked, left)
    }

    /// Moves another process into it.
    pub(crate) fn take_in(&self, pid: i32) -> io::Result<()> {
        std::fs::write(self.0.join("cgroup.procs"), pid.to_string())
    }

    /// Kills all that is in it, with one write on newer kernels.
    pub(crate) fn kill(&self) {
        if std::fs::write(self.0.join("cgroup.kill"), "1").is_ok() {
            return;
        }
        let pids = std::fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        for pid in pids.lines().filter_map(|line| line.parse().ok()) {
            // Whoever is not killed here is killed by the sweep or stays in the cgroup, which is then seen.
            drop(crate::process::kill(procfs::Identity::of(pid)));
        }
    }

    /// Removes it, if nothing is left in it. Blocks for a moment.
    pub(crate) fn remove(&self) -> io::Result<()> {
        let mut passes = 0;
        loop {
            match std::fs::remove_dir(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy && passes < REMOVAL_PASSES => {
                    passes += 1;
                    std::thread::sleep(REMOVAL_INTERVAL);
                }
                removed => return removed,
            }
        }
    }
}

/// Moves this process into a cgroup.
fn enter(directory: &Utf8Path) -> io::Result<()> {
    std::fs::write(directory.join("cgroup.procs"), "0")
}

//! Limits of memory, processors and processes: by cgroups of the second version, or of the first where those are the machine's.

use std::collections::BTreeSet;
use std::io;
use std::sync::OnceLock;

use camino::{Utf8Path, Utf8PathBuf};
use worker_core::ids::LaunchKey;

use super::Confinement;
use crate::cgroup::Cgroup;
use crate::procfs;

/// Where hierarchies of the first version are mounted, one for each controller.
const FIRST_VERSION: &str = "/sys/fs/cgroup";
/// The time in which a share of the processors is counted, in microseconds.
const PERIOD: u64 = 100_000;

/// The controllers of all limits.
const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];

/// A limit, as files of both versions have it.
struct Limit {
    controller: &'static str,
    second: (&'static str, String),
    first: Vec<(&'static str, String)>,
}

fn limits(confinement: &Confinement) -> Vec<Limit> {
    let memory = confinement.max_memory.map(|bytes| Limit {
        controller: "memory",
        second: ("memory.max", bytes.to_string()),
        first: vec![("memory.limit_in_bytes", bytes.to_string())],
    });
    let cpu = confinement.max_cpu_percent.map(|percent| {
        let quota = percent.saturating_mul(PERIOD) / 100;
        Limit {
            controller: "cpu",
            second: ("cpu.max", format!("{quota} {PERIOD}")),
            first: vec![("cpu.cfs_period_us", PERIOD.to_string()), ("cpu.cfs_quota_us", quota.to_string())],
        }
    });
    let processes = confinement.max_processes.map(|most| Limit {
        controller: "pids",
        second: ("pids.max", most.to_string()),
        first: vec![("pids.max", most.to_string())],
    });
    [memory, cpu, processes].into_iter().flatten().collect()
}

/// Limits in force for one run.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    /// Cgroups besides the run's own, which it has to enter by itself.
    pub(crate) groups: Vec<Utf8PathBuf>,
}

impl Limits {
    /// Puts the limits on the run's cgroup, or on new ones.
    ///
    /// # Errors
    /// One of them cannot be had here. A run without a limit that was asked for must not start.
    pub(crate) fn make(confinement: &Confinement, key: &LaunchKey, run: Option<&Cgroup>) -> io::Result<Self> {
        let mut made = Self::default();
        for limit in limits(confinement) {
            if let Err(error) = made.add(&limit, key, run) {
                made.remove();
                return Err(io::Error::new(error.kind(), format!("`{}`: {error}", limit.controller)));
            }
        }
        Ok(made)
    }

    fn add(&mut self, limit: &Limit, key: &LaunchKey, run: Option<&Cgroup>) -> io::Result<()> {
        let (file, value) = &limit.second;
        if let Some(run) = run.filter(|run| run.path().join(file).exists()) {
            return std::fs::write(run.path().join(file), value);
        }
        let parents = [
            (delegated(limit.controller), vec![limit.second.clone()]),
            (first_version(limit.controller), limit.first.clone()),
        ];
        let found = parents.into_iter().find_map(|(parent, files)| Some((parent?, files)));
        let (parent, files) = found.ok_or_else(|| io::Error::other(NOT_HERE))?;
        // Where it is allowed already, or is not, the file of the limit tells.
        drop(std::fs::write(parent.join("cgroup.subtree_control"), format!("+{}", limit.controller)));
        let group = parent.join(format!("worker-run-{key}"));
        match std::fs::create_dir(&group) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        if !self.groups.contains(&group) {
            self.groups.push(group.clone());
        }
        files.iter().try_for_each(|(file, value)| std::fs::write(group.join(file), value))
    }

    /// Where kills for lack of memory are counted.
    pub(crate) fn memory(&self) -> Option<&Utf8Path> {
        let counts =
            |group: &&Utf8Path| ["memory.events", "memory.oom_control"].iter().any(|file| group.join(file).exists());
        self.groups.iter().map(Utf8PathBuf::as_path).find(counts)
    }

    /// Removes what was made, once nothing is in it.
    pub(crate) fn remove(&self) {
        for group in &self.groups {
            // What the kernel holds for a moment longer is empty, and harmless.
            drop(Cgroup::existing(group).map(|group| group.remove()));
        }
    }
}

const NOT_HERE: &str = "this machine gives the worker no such cgroup";

/// The cgroup of the second version above this process's, if systemd has left it to the worker's unit (`Delegate=yes`) and the
/// worker is in one below (`DelegateSubgroup=`): only one without processes may have limited ones below it.
fn delegated(controller: &str) -> Option<Utf8PathBuf> {
    let above = crate::cgroup::own_directory()?.parent()?.to_owned();
    let is_left = |attribute: &str| {
        let mut value = [0];
        rustix::fs::getxattr(above.as_str(), attribute, &mut value).is_ok_and(|length| length == 1 && value == *b"1")
    };
    let controllers = std::fs::read_to_string(above.join("cgroup.controllers")).ok()?;
    let has_controller = controllers.split_whitespace().any(|there| there == controller);
    (has_controller && (is_left("user.delegate") || is_left("trusted.delegate"))).then_some(above)
}

/// The directory of this process in a hierarchy of the first version. In a container it may be the root of what is mounted there.
fn first_version(controller: &str) -> Option<Utf8PathBuf> {
    let membership = procfs::own_cgroups()?;
    let own = membership.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(":/")?;
        controllers.split(',').any(|own| own == controller).then_some(path)
    })?;
    let mount = Utf8Path::new(FIRST_VERSION).join(controller);
    let directory = mount.join(own);
    if directory.exists() { Some(directory) } else { mount.exists().then_some(mount) }
}

/// Removes what a supervisor that was killed has left.
pub(crate) fn remove_leftovers(key: &LaunchKey) {
    static PARENTS: OnceLock<BTreeSet<Utf8PathBuf>> = OnceLock::new();
    let name = format!("worker-run-{key}");
    let parents = PARENTS.get_or_init(|| {
        CONTROLLERS
            .into_iter()
            .flat_map(|controller| [delegated(controller), first_version(controller)])
            .flatten()
            .collect()
    });
    for group in parents.iter().filter_map(|parent| Cgroup::existing(&parent.join(&name))) {
        // Nothing runs in it any more; what stays is an empty directory.
        drop(group.remove());
    }
}

/// Limits that are asked for and cannot be had on this machine.
pub(crate) fn missing_controllers(confinement: &Confinement) -> Vec<&'static str> {
    let of_second = crate::cgroup::own_directory()
        .and_then(|own| std::fs::read_to_string(own.join("cgroup.subtree_control")).ok())
        .unwrap_or_default();
    let is_there = |controller: &str| {
        of_second.split_whitespace().any(|own| own == controller)
            || delegated(controller).is_some()
            || first_version(controller).is_some()
    };
    let wanted = limits(confinement).into_iter().map(|limit| limit.controller);
    wanted.filter(|controller| !is_there(controller)).collect()
}

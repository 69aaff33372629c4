//! What runs leave behind on this machine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use worker_core::ids::RunId;

const LAUNCH_MARKER: &str = "WORKER_LAUNCH_KEY=";
/// Where control groups of version 2 are found, alone or beside version 1.
const CGROUP_ROOTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
const CGROUP_DEPTH: usize = 6;

/// Where the runs of a round leave traces.
#[derive(Clone, Debug)]
pub(super) struct Traces<'a> {
    /// The folder in which their commands work.
    pub(super) folder: &'a Path,
    /// The state directories of the workers.
    pub(super) states: BTreeSet<PathBuf>,
    /// Their directories for temporary files.
    pub(super) temporary: Vec<PathBuf>,
    pub(super) runs: Vec<RunId>,
}

impl Traces<'_> {
    /// Everything that is left: processes, control groups, files.
    pub(super) fn remaining(&self) -> Vec<String> {
        let mut remaining = self.processes();
        remaining.extend(self.cgroups());
        remaining.extend(self.files());
        remaining
    }

    fn processes(&self) -> Vec<String> {
        let found = pids().filter_map(|pid| {
            // A process may end while it is looked at; a zombie has neither of them.
            let words = command_line(pid)?;
            let why = if std::fs::read_link(format!("/proc/{pid}/cwd")).ok()? == self.folder {
                "works where runs do"
            } else if launch_key(pid).is_some_and(|key| self.is_key(&key)) {
                "has the marker of a run"
            } else if words.iter().any(|word| self.is_key(word)) {
                "is the supervisor of a run"
            } else {
                return None;
            };
            Some(format!("process {pid} {why}: {}", words.join(" ")))
        });
        found.collect()
    }

    /// Whether a name is that of an execution of one of the runs, or ends in it.
    fn is_key(&self, name: &str) -> bool {
        self.runs.iter().any(|run| name.contains(&run.to_string()))
    }

    fn cgroups(&self) -> Vec<String> {
        let roots = CGROUP_ROOTS.map(Path::new).into_iter().filter(|root| root.join("cgroup.controllers").exists());
        let found = roots
            .flat_map(|root| folders_within(root, CGROUP_DEPTH))
            .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| self.is_key(name)));
        found.map(|path| format!("control group {}", path.display())).collect()
    }

    fn files(&self) -> Vec<String> {
        let runs = |state: &PathBuf| {
            let daemons = entries(state).map(|daemon| daemon.join("runs"));
            daemons.chain([state.join("runs")]).collect::<Vec<_>>()
        };
        let folders = self.states.iter().flat_map(runs).chain(self.temporary.clone());
        folders.flat_map(|folder| entries(&folder)).map(|path| path.display().to_string()).collect()
    }
}

/// The supervisors of runs: each is called by its run, as far as there is room in a name.
pub(super) fn supervisors(runs: &[RunId]) -> Vec<(i32, RunId)> {
    let supervised = |pid| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        let beginning = name.trim_end().strip_prefix("run-").filter(|beginning| !beginning.is_empty())?.to_owned();
        let run = runs.iter().find(|run| run.0.simple().to_string().starts_with(&beginning))?;
        Some((pid, *run))
    };
    pids().filter_map(supervised).collect()
}

fn pids() -> impl Iterator<Item = i32> {
    entries(Path::new("/proc")).filter_map(|path| path.file_name()?.to_str()?.parse().ok())
}

/// The launch key in the environment of a process.
pub(super) fn launch_key(pid: i32) -> Option<String> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut entries = environment.split(|byte| *byte == 0);
    let key = entries.find_map(|entry| entry.strip_prefix(LAUNCH_MARKER.as_bytes()))?;
    Some(String::from_utf8_lossy(key).into_owned())
}

fn command_line(pid: i32) -> Option<Vec<String>> {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).ok().filter(|words| !words.is_empty())?;
    Some(words.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect())
}

/// What is in a folder; nothing if it cannot be read.
pub(super) fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path())
}

fn folders_within(root: &Path, depth: usize) -> Vec<PathBuf> {
    let inner: Vec<_> = entries(root).filter(|path| path.is_dir()).collect();
    let deeper = |path: &PathBuf| if depth > 0 { folders_within(path, depth - 1) } else { Vec::new() };
    let deeper: Vec<_> = inner.iter().flat_map(deeper).collect();
    [inner, deeper].concat()
}

//! Evidence that the kernel killed a run for the memory it used. A SIGKILL alone proves nothing: anybody can send one.

use camino::{Utf8Path, Utf8PathBuf};

use crate::cgroup;
use crate::procfs;

/// The counter of kills that counts for this process's children, and what it said before the run.
#[derive(Debug)]
pub(crate) struct OomWitness {
    counter: Option<Counter>,
    before: u64,
}

/// A file with a line `oom_kill <number>`.
#[derive(Debug)]
struct Counter {
    file: Utf8PathBuf,
    name: String,
}

impl OomWitness {
    /// Notes the counters before the run starts. That of the run's own cgroup is the best, then that of the one around
    /// it. That of the whole machine proves nothing about this run: with it, any lack of memory elsewhere would explain
    /// somebody's kill.
    pub(crate) fn before(run: Option<&Utf8Path>, limited: Option<&Utf8Path>) -> Self {
        let counter = counters(run, limited).into_iter().find(|counter| counter.read().is_some());
        let before = counter.as_ref().and_then(Counter::read).unwrap_or_default();
        Self { counter, before }
    }

    /// The evidence that somebody was killed since then, for people.
    pub(crate) fn evidence(&self) -> Option<String> {
        let counter = self.counter.as_ref()?;
        let now = counter.read().filter(|now| *now > self.before)?;
        Some(format!("the kernel ran out of memory: {} rose from {} to {now}", counter.name, self.before))
    }
}

fn counters(run: Option<&Utf8Path>, limited: Option<&Utf8Path>) -> Vec<Counter> {
    let counter = |file: Utf8PathBuf, name: String| Counter { file, name };
    let of_run = run.map(|run| counter(run.join("memory.events"), "oom_kill of the run's cgroup".to_owned()));
    let around = cgroup::own_directory().into_iter().flat_map(|own| {
        let directories: Vec<Utf8PathBuf> = own.ancestors().map(Utf8Path::to_owned).collect();
        directories.into_iter().map(|directory| {
            let name = format!("oom_kill of the cgroup {directory}");
            Counter { file: directory.join("memory.events"), name }
        })
    });
    let first_version = first_version_directory()
        .map(|directory| counter(directory.join("memory.oom_control"), format!("oom_kill of the cgroup {directory}")));
    // Where the run is limited by a cgroup of its own that counts: of either version.
    let of_limit = limited.into_iter().flat_map(|group| {
        ["memory.events", "memory.oom_control"]
            .map(|file| counter(group.join(file), "oom_kill of the run's cgroup".to_owned()))
    });
    of_limit.chain(of_run).chain(around).chain(first_version).collect()
}

/// The directory of this process's cgroup in the memory hierarchy of the first version. In a container it may be the
/// root of what is mounted there.
fn first_version_directory() -> Option<Utf8PathBuf> {
    let membership = procfs::own_cgroups()?;
    let own = membership.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(":/")?;
        controllers.split(',').any(|controller| controller == "memory").then_some(path)
    })?;
    let mount = Utf8Path::new("/sys/fs/cgroup/memory");
    let directory = mount.join(own);
    Some(if directory.exists() { directory } else { mount.to_owned() })
}

impl Counter {
    fn read(&self) -> Option<u64> {
        let text = std::fs::read_to_string(&self.file).ok()?;
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_rose_is_evidence_and_one_that_did_not_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let run = Utf8Path::from_path(directory.path()).unwrap();
        let say = |kills: u32| std::fs::write(run.join("memory.events"), format!("oom 3\noom_kill {kills}\n")).unwrap();
        say(1);
        let witness = OomWitness::before(Some(run), None);
        assert_eq!(witness.evidence(), None);
        say(2);
        let evidence = "the kernel ran out of memory: oom_kill of the run's cgroup rose from 1 to 2";
        assert_eq!(witness.evidence().unwrap(), evidence);
    }

    #[test]
    fn what_the_whole_machine_counts_is_no_evidence() {
        let files: Vec<Utf8PathBuf> = counters(None, None).into_iter().map(|counter| counter.file).collect();
        assert!(files.iter().all(|file| !file.starts_with("/proc")), "{files:?}");
    }
}

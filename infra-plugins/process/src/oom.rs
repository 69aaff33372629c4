//! Evidence that the kernel killed a run for the memory it used. A SIGKILL alone proves nothing: anybody can send one.

use std::sync::OnceLock;

use camino::{Utf8Path, Utf8PathBuf};

use crate::cgroup;
use crate::procfs::{self, short_text};

/// The counter of kills that counts for this process's children, and what it said before the run.
#[derive(Debug)]
pub(crate) struct OomWitness {
    counter: Option<Counter>,
    before: u64,
}

/// A file with a line `oom_kill <number>`.
#[derive(Clone, Debug)]
pub(crate) struct Counter {
    file: Utf8PathBuf,
    name: String,
}

impl OomWitness {
    /// Notes the counters before the run starts. That of the run's own cgroup is the best, then that of the one around
    /// it. That of the whole machine proves nothing about this run: with it, any lack of memory elsewhere would explain
    /// somebody's kill.
    pub(crate) fn before(run: Option<&Utf8Path>, limited: Option<&Utf8Path>) -> Self {
        let own = counters_of_run(run, limited).into_iter().chain(around().cloned());
        let found = own.into_iter().find_map(|counter| counter.read().map(|before| (counter, before)));
        let (counter, before) = found.map_or((None, 0), |(counter, before)| (Some(counter), before));
        Self { counter, before }
    }

    /// The evidence that somebody was killed since then, for people.
    pub(crate) fn evidence(&self) -> Option<String> {
        let counter = self.counter.as_ref()?;
        let now = counter.read().filter(|now| *now > self.before)?;
        Some(format!("the kernel ran out of memory: {} rose from {} to {now}", counter.name, self.before))
    }
}

/// Those of cgroups that the run has to itself.
fn counters_of_run(run: Option<&Utf8Path>, limited: Option<&Utf8Path>) -> Vec<Counter> {
    let counter = |file: Utf8PathBuf| Counter { file, name: "oom_kill of the run's cgroup".to_owned() };
    // Where the run is limited by a cgroup of its own that counts: of either version.
    let of_limit =
        limited.into_iter().flat_map(|group| ["memory.events", "memory.oom_control"].map(|file| group.join(file)));
    of_limit.chain(run.map(|run| run.join("memory.events"))).map(counter).collect()
}

/// That of the cgroup around this process, if there is one. It is looked for once: this process stays where it is.
pub(crate) fn around() -> Option<&'static Counter> {
    static FOUND: OnceLock<Option<Counter>> = OnceLock::new();
    FOUND.get_or_init(|| counters_around().into_iter().find(|counter| counter.read().is_some())).as_ref()
}

fn counters_around() -> Vec<Counter> {
    let directories = cgroup::own_directory().into_iter().flat_map(Utf8Path::ancestors).map(Utf8Path::to_owned);
    let of_second = directories.map(|directory| (directory.join("memory.events"), directory));
    let of_first = first_version_directory().map(|directory| (directory.join("memory.oom_control"), directory));
    let named = |(file, directory)| Counter { file, name: format!("oom_kill of the cgroup {directory}") };
    of_second.chain(of_first).map(named).collect()
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
        let text = short_text(self.file.as_str()).ok()?;
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
        let files: Vec<Utf8PathBuf> = counters_around().into_iter().map(|counter| counter.file).collect();
        assert!(files.iter().all(|file| !file.starts_with("/proc")), "{files:?}");
    }
}

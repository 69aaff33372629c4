//! What a process uses, as Linux tells.

use std::fs;
use std::time::Duration;

/// What supervisors are forked from is called.
const FORK_SERVER: &str = "worker-forks";

/// Processor time and memory of a process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Its own processor time.
    pub(crate) own: Duration,
    /// That of its children with their own, as far as they live or have been waited for.
    pub(crate) children: Duration,
    /// Resident memory, MiB.
    pub(crate) resident: f64,
    /// Its share of memory: pages that several processes use are divided among them; MiB.
    pub(crate) proportional: f64,
    /// Threads.
    pub(crate) threads: f64,
}

impl Usage {
    /// Of a process that lives; nothing of one that does not.
    pub(crate) fn of(pid: u32) -> Self {
        let stat = Stat::of(pid);
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        Self {
            own: stat.own(),
            children: stat.waited_for() + children(pid).into_iter().map(time_of_tree).sum::<Duration>(),
            resident: mebibytes(&rollup, "Rss:"),
            proportional: mebibytes(&rollup, "Pss:"),
            threads: f64::from(stat.number(17)),
        }
    }

    /// Processor time with children.
    pub(crate) fn total(&self) -> Duration {
        self.own + self.children
    }
}

/// What the kernel counts of a process.
struct Stat(String);

impl Stat {
    fn of(pid: u32) -> Self {
        Self(fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default())
    }

    /// A field, counted from the one after the name: that may hold spaces and parentheses.
    fn number(&self, at: usize) -> u32 {
        let after_the_name = self.0.rsplit_once(") ").map_or("", |(_, rest)| rest);
        after_the_name.split(' ').nth(at).and_then(|field| field.parse().ok()).unwrap_or(0)
    }

    fn time(&self, first: usize) -> Duration {
        let ticks = self.number(first) + self.number(first + 1);
        Duration::from_secs_f64(f64::from(ticks) / ticks_per_second())
    }

    fn own(&self) -> Duration {
        self.time(11)
    }

    fn waited_for(&self) -> Duration {
        self.time(13)
    }
}

fn time_of_tree(pid: u32) -> Duration {
    let stat = Stat::of(pid);
    stat.own() + stat.waited_for() + children(pid).into_iter().map(time_of_tree).sum::<Duration>()
}

/// The uppermost living process of each run of a worker: its children, or those of what it has them forked from.
pub(crate) fn runs_of(worker: u32) -> Vec<u32> {
    let forks_for_it =
        |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == FORK_SERVER);
    let (servers, mut runs): (Vec<u32>, Vec<u32>) = children(worker).into_iter().partition(forks_for_it);
    runs.extend(servers.into_iter().flat_map(children));
    runs
}

/// The living children of a process.
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads
        .flat_map(|thread| {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            children.split_ascii_whitespace().filter_map(|child| child.parse().ok()).collect::<Vec<_>>()
        })
        .collect()
}

fn mebibytes(rollup: &str, name: &str) -> f64 {
    let line = rollup.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u32>().ok());
    f64::from(kib.unwrap_or(0)) / 1024.0
}

fn ticks_per_second() -> f64 {
    let ticks = rustix::param::clock_ticks_per_second();
    f64::from(u32::try_from(ticks).unwrap_or(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_something() {
        let usage = Usage::of(std::process::id());
        assert!(usage.resident >= usage.proportional && usage.proportional > 0.5, "{usage:?}");
        assert!(usage.threads >= 1.0, "{usage:?}");
        assert!(Usage::of(0).threads < 1.0);
    }
}

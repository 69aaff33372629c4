//! What a process uses, as Linux tells.

use std::fs;
use std::time::Duration;

/// Processor time and memory of a process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Its own processor time.
    pub(crate) own: Duration,
    /// That of its children which have ended and been waited for, with their own.
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
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name may hold spaces and parentheses; the fields after it do not.
        let fields: Vec<&str> = stat.rsplit_once(") ").map_or_else(Vec::new, |(_, rest)| rest.split(' ').collect());
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok()).unwrap_or(0);
        let time =
            |first: usize| Duration::from_secs_f64(f64::from(ticks(first) + ticks(first + 1)) / ticks_per_second());
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        Self {
            own: time(11),
            children: time(13),
            resident: mebibytes(&rollup, "Rss:"),
            proportional: mebibytes(&rollup, "Pss:"),
            threads: f64::from(ticks(17)),
        }
    }

    /// Processor time with children.
    pub(crate) fn total(&self) -> Duration {
        self.own + self.children
    }
}

/// The living children of a process.
pub(crate) fn children(pid: u32) -> Vec<u32> {
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

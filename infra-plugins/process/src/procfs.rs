//! Reading `/proc`. Where it is missing or hides a process, nothing is found: callers degrade.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::sync::OnceLock;

use rustix::process::{Pid, getpid};
use serde::{Deserialize, Serialize};

/// A process, told from a later one of the same number by its start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    /// Clock ticks since boot; `None` if it could not be read.
    pub(crate) started: Option<u64>,
}

impl Identity {
    pub(crate) fn of(pid: i32) -> Self {
        Self { pid, started: stat(pid).map(|stat| stat.started) }
    }

    pub(crate) fn raw(self) -> Option<Pid> {
        Pid::from_raw(self.pid)
    }

    /// Whether this very process is there and not a zombie.
    pub(crate) fn is_alive(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.is_alive && Some(stat.started) == self.started)
    }
}

/// One line of the process table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    pub(crate) started: u64,
    /// Neither a zombie nor dead.
    pub(crate) is_alive: bool,
}

impl Stat {
    /// Reads the text of `/proc/<pid>/stat`. The name in it may hold blanks and parentheses.
    fn parse(text: &str) -> Option<Self> {
        let (pid, rest) = text.split_once(' ')?;
        let (_, rest) = rest.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        // The start time is field 22 of the line; the group is field 5.
        let started = fields.nth(16)?.parse().ok()?;
        Some(Self { pid: pid.parse().ok()?, parent, group, started, is_alive: !matches!(state, "Z" | "X" | "x") })
    }

    pub(crate) const fn identity(&self) -> Identity {
        Identity { pid: self.pid, started: Some(self.started) }
    }
}

pub(crate) fn stat(pid: i32) -> Option<Stat> {
    Stat::parse(&short_text(&format!("/proc/{pid}/stat")).ok()?)
}

/// The text of a file of the kernel's that is shorter than a page, or the beginning of a longer one. What is read from file to file
/// with growing room takes several times as many calls, and a supervisor does little else.
pub(crate) fn short_text(path: &str) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut text = [0; 1024];
    let mut length = 0;
    while let Some(room) = text.get_mut(length..).filter(|room| !room.is_empty()) {
        match file.read(room)? {
            0 => break,
            read => length += read,
        }
    }
    Ok(String::from_utf8_lossy(text.get(..length).unwrap_or_default()).into_owned())
}

/// All processes but this one; `None` where there is no `/proc`.
pub(crate) fn all() -> Option<Vec<Stat>> {
    let own = getpid().as_raw_nonzero().get();
    stat(own)?;
    let entries = fs::read_dir("/proc").ok()?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    Some(pids.filter(|pid| *pid != own).filter_map(stat).collect())
}

/// Whether a process was started with this variable; false for processes of other users.
pub(crate) fn has_variable(pid: i32, name: &str, value: &str) -> bool {
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    environment.split(|byte| *byte == 0).any(|entry| {
        entry.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")) == Some(value.as_bytes())
    })
}

/// Names this boot of the machine.
pub(crate) fn boot_id() -> Option<&'static str> {
    static READ: OnceLock<Option<String>> = OnceLock::new();
    let read = || Some(fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned());
    READ.get_or_init(read).as_deref()
}

/// Whether this process, of one thread, certainly has no children, not even such that have yet to be waited for.
pub(crate) fn is_childless() -> bool {
    let own = getpid().as_raw_nonzero();
    short_text(&format!("/proc/self/task/{own}/children")).is_ok_and(|children| children.is_empty())
}

/// The cgroups of this process, as `/proc` lists them. They are read once: it stays in them, but for the moments in which a
/// supervisor forks its run.
pub(crate) fn own_cgroups() -> Option<&'static str> {
    static READ: OnceLock<Option<String>> = OnceLock::new();
    READ.get_or_init(|| fs::read_to_string("/proc/self/cgroup").ok()).as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_in_spite_of_an_odd_name() {
        let line = "42 (a b) c) S 7 40 39 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 987654 1000 5";
        let expected = Stat { pid: 42, parent: 7, group: 40, started: 987_654, is_alive: true };
        assert_eq!(Stat::parse(line), Some(expected));
        assert!(!Stat::parse(&line.replace(") S ", ") Z ")).unwrap().is_alive);
        assert_eq!(Stat::parse("42 (x"), None);
    }

    #[test]
    fn an_identity_is_not_that_of_another_process_of_the_same_number() {
        let own = Identity::of(getpid().as_raw_nonzero().get());
        assert!(own.is_alive());
        let earlier = Identity { started: own.started.map(|ticks| ticks - 1), ..own };
        assert!(!earlier.is_alive());
    }
}

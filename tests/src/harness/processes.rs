//! Processes found by a variable in their environment: also those that left their parent's group or session.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// The processes, zombies excluded, whose environment holds `entry` (`NAME=value`).
pub(super) fn with_environment(entry: &str) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter_map(|process| {
            let pid = process.file_name().to_str()?.parse().ok()?;
            // A process may end while it is looked at, and those of other users cannot be read.
            let environment = std::fs::read(process.path().join("environ")).ok()?;
            let has_entry = environment.split(|byte| *byte == 0).any(|found| found == entry.as_bytes());
            has_entry.then(|| Pid::from_raw(pid)).flatten()
        })
        .collect()
}

/// Whether the process exists and is not a zombie.
pub fn is_alive(pid: i32) -> bool {
    let Ok(stat) = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")) else { return false };
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Resident memory of a process in KiB.
pub fn resident_kib(pid: u32) -> u64 {
    let status = fs_err::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok())
        .expect("Linux tells the resident memory of a process")
}

/// The processes, zombies excluded, that work in a folder, whatever their environment is.
fn working_in(folder: &Path) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter_map(|process| {
            let pid = process.file_name().to_str()?.parse().ok()?;
            let works_there = std::fs::read_link(process.path().join("cwd")).ok()? == folder;
            works_there.then(|| Pid::from_raw(pid)).flatten()
        })
        .collect()
}

/// Kills every process whose environment holds `entry`.
pub fn kill_with_environment(entry: &str) {
    kill_all(|| with_environment(entry));
}

/// Kills every process that works in a folder.
pub(crate) fn kill_working_in(folder: &Path) {
    kill_all(|| working_in(folder));
}

/// Kills what is found until there is nothing: what is killed may have had time to start another process.
fn kill_all(find: impl Fn() -> Vec<Pid>) {
    for _ in 0..20 {
        let found = find();
        if found.is_empty() {
            return;
        }
        for pid in found {
            // It may be gone already.
            kill_process(pid, Signal::KILL).unwrap_or_default();
        }
    }
}

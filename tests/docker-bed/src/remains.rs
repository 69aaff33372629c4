//! What an engine leaves behind when it is killed: containerd, shims, containers, mounts, control groups.
//!
//! All of it is found by the engine's name, which is part of the arguments of its processes and of the control groups of
//! its containers. Nothing here panics, because it runs while a test fails.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::process::within;

const SOON: Duration = Duration::from_secs(20);
const CONTROL_GROUPS: &str = "/sys/fs/cgroup";

/// A process of an engine.
struct Found {
    pid: Pid,
    /// The file name of the program that it says to be.
    program: String,
    in_container: bool,
}

/// Kills the containerd of an engine, not the shims that hold its containers. Whether it is gone.
pub(crate) fn kill_containerd(engine: &str) -> bool {
    kill_all(engine, Signal::KILL, |found| !found.in_container && found.program == "containerd")
}

/// Ends everything that an engine without its dockerd has left, so that its folder can be removed.
pub(crate) fn clear(folder: &Path, engine: &str) {
    kill_containerd(engine);
    kill_all(engine, Signal::KILL, |found| found.in_container);
    // A shim that is asked removes its socket, which is in a folder that all engines share.
    let is_shim = |found: &Found| found.program.starts_with("containerd-shim");
    if !kill_all(engine, Signal::TERM, is_shim) {
        kill_all(engine, Signal::KILL, is_shim);
    }
    unmount_below(folder);
    remove_control_groups(engine);
}

/// Sends a signal to the chosen processes until there are none. Whether that came about.
fn kill_all(engine: &str, signal: Signal, chosen: impl Fn(&Found) -> bool) -> bool {
    let none_left = within(SOON, || {
        let found: Vec<Found> = processes(engine).filter(&chosen).collect();
        for process in &found {
            // It may be gone already.
            kill_process(process.pid, signal).unwrap_or_default();
        }
        found.is_empty().then_some(())
    });
    none_left.is_some()
}

/// The processes of an engine, zombies excluded.
fn processes(engine: &str) -> impl Iterator<Item = Found> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(move |entry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        // A process may end while it is looked at. Zombies have no arguments.
        let arguments = std::fs::read(entry.path().join("cmdline")).ok().filter(|arguments| !arguments.is_empty())?;
        let arguments = String::from_utf8_lossy(&arguments);
        let groups = std::fs::read_to_string(entry.path().join("cgroup")).ok()?;
        let program = Path::new(arguments.split('\0').next()?).file_name()?.to_str()?.to_owned();
        let in_container = groups.lines().any(|line| line.contains(&format!(":/{engine}/")));
        let is_daemon = program.starts_with("containerd") && arguments.contains(engine);
        (in_container || is_daemon).then_some(Found { pid, program, in_container })
    })
}

fn unmount_below(folder: &Path) {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let mut below: Vec<&str> = places.filter(|place| Path::new(place).starts_with(folder)).collect();
    // What was mounted last may be on top of what was mounted before.
    below.reverse();
    for place in below {
        // Without it the folder stays, and that is all.
        Command::new("umount").args(["-l", place]).output().map(drop).unwrap_or_default();
    }
}

fn remove_control_groups(engine: &str) {
    let root = Path::new(CONTROL_GROUPS);
    remove_group(&root.join(engine));
    // Version 1 has a hierarchy for each controller.
    for controller in folders_in(root) {
        remove_group(&controller.join(engine));
    }
}

fn remove_group(group: &Path) {
    for child in folders_in(group) {
        remove_group(&child);
    }
    // One that is not there is as good as removed. A group whose last process was just killed is busy for a moment.
    within(SOON, || (!group.exists() || std::fs::remove_dir(group).is_ok()).then_some(()));
}

fn folders_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).collect()
}

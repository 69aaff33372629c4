//! What this process runs in, as far as it decides whether its children can outlive it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// How long the service manager may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// Why children end with this process, if they do. A process that is not sure waits for them rather than lose them.
pub async fn end_of_our_children(variables: &BTreeMap<String, String>) -> Option<String> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    match decisive(unit_in(&groups), Path::new(SYSTEMD_RUNS).exists(), container(variables)) {
        Decisive::Container(mark) => Some(format!("this is a container ({mark}), which ends with this process")),
        Decisive::Unit(unit) => end_by_kill_mode(unit.name, kill_mode(unit).await.as_deref()),
        Decisive::Nothing => None,
    }
}

/// Is there where systemd is process 1.
const SYSTEMD_RUNS: &str = "/run/systemd/system";

/// What decides about our children.
#[derive(Debug, PartialEq, Eq)]
enum Decisive<'g> {
    /// The container, and what tells that it is one.
    Container(String),
    /// The service of systemd.
    Unit(Unit<'g>),
    Nothing,
}

/// A container may be a whole machine, with a systemd of its own: then a process in it can end without the container.
fn decisive(unit: Option<Unit<'_>>, systemd_runs: bool, container: Option<String>) -> Decisive<'_> {
    match (unit, container) {
        (Some(unit), Some(_)) if systemd_runs => Decisive::Unit(unit),
        (_, Some(mark)) => Decisive::Container(mark),
        (Some(unit), None) => Decisive::Unit(unit),
        (None, None) => Decisive::Nothing,
    }
}

/// What a unit's `KillMode` does to our children. Only `mixed` lets us wait for them: with `control-group`, systemd's default,
/// each of them is sent SIGTERM at the same time as this process.
fn end_by_kill_mode(unit: &str, mode: Option<&str>) -> Option<String> {
    let Some(mode) = mode else {
        return Some(format!("systemd does not say what the unit {unit} does with its processes"));
    };
    let what = match mode {
        "process" | "none" => return None,
        "mixed" => "kills what is left of its processes once this one has ended",
        _ => "sends SIGTERM to all its processes at the same time; only KillMode=mixed lets runs end by themselves",
    };
    Some(format!("the systemd unit {unit} has KillMode={mode}, which {what}; KillMode=process leaves them"))
}

/// What tells that this is a container, if anything does.
fn container(variables: &BTreeMap<String, String>) -> Option<String> {
    if rustix::process::getpid().is_init() {
        return Some("it is process 1".to_owned());
    }
    for mark in ["/.dockerenv", "/run/.containerenv", "/var/run/secrets/kubernetes.io"] {
        if Path::new(mark).exists() {
            return Some(format!("{mark} exists"));
        }
    }
    let named = variables.get("container").filter(|name| !name.is_empty());
    named.map(|name| format!("container={name}"))
}

/// A service of systemd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unit<'g> {
    name: &'g str,
    /// Whether it is one of a user's own systemd. That of the system would answer about any name, with its defaults.
    is_of_a_user: bool,
}

/// The service that this process is in, from the text of `/proc/self/cgroup`. No variable tells it: systemd sets one for the
/// process that it starts itself, which may be a wrapper, and not at all before version 248. A scope is a session of somebody,
/// which outlives any process of it, and a user's systemd is no service that runs us.
fn unit_in(groups: &str) -> Option<Unit<'_>> {
    // In a container one of the two hierarchies may end at its root.
    groups.lines().find_map(|line| {
        let (names, path) = line.split_once(':')?.1.split_once(':')?;
        if names.is_empty() || names == "name=systemd" { unit_of(path) } else { None }
    })
}

fn unit_of(path: &str) -> Option<Unit<'_>> {
    let is_unit = |part: &str| matches!(part.rsplit_once('.'), Some((_, "service" | "scope")));
    let is_users_systemd = |part: &str| part.starts_with("user@");
    let mut units = path.rsplit('/').filter(|part| is_unit(part));
    let name = units.next().filter(|name| name.ends_with(".service") && !is_users_systemd(name))?;
    Some(Unit { name, is_of_a_user: units.any(is_users_systemd) })
}

async fn kill_mode(unit: Unit<'_>) -> Option<String> {
    let manager = if unit.is_of_a_user { "--user" } else { "--system" };
    let asked = Command::new("systemctl")
        .args([manager, "show", "--property=KillMode", "--value", unit.name])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let answer = tokio::time::timeout(ANSWER, asked).await.ok()?.ok()?;
    let mode = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    (answer.status.success() && !mode.is_empty()).then_some(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_the_innermost_service_of_either_hierarchy() {
        let unit = |name, is_of_a_user| Some(Unit { name, is_of_a_user });
        let of_user = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/worker.service\n";
        assert_eq!(unit_in(of_user), unit("worker.service", true));
        let delegated = "0::/system.slice/worker.service/runs/7\n";
        assert_eq!(unit_in(delegated), unit("worker.service", false));
        let hybrid = "4:memory:/system.slice/other.service\n1:name=systemd:/system.slice/worker@a.service/run\n0::/\n";
        assert_eq!(unit_in(hybrid), unit("worker@a.service", false));
        let in_a_container = "9:name=systemd:/\n0::/system.slice/worker.service\n";
        assert_eq!(unit_in(in_a_container), unit("worker.service", false));
        assert_eq!(unit_in("0::/\n"), None);
    }

    #[test]
    fn a_container_that_is_a_machine_of_its_own_leaves_the_decision_to_its_systemd() {
        let unit = || unit_in("0::/system.slice/worker.service\n");
        let mark = || Some("/.dockerenv exists".to_owned());
        let container = || Decisive::Container("/.dockerenv exists".to_owned());
        assert_eq!(decisive(unit(), true, mark()), Decisive::Unit(unit().unwrap()));
        assert_eq!(decisive(unit(), false, mark()), container(), "a unit of the host, which does not reach in here");
        assert_eq!(decisive(None, true, mark()), container(), "somebody's shell in it");
        assert_eq!(decisive(unit(), true, None), Decisive::Unit(unit().unwrap()));
        assert_eq!(decisive(None, true, None), Decisive::Nothing);
    }

    #[test]
    fn somebody_who_works_in_a_session_is_in_no_service() {
        for path in [
            "/user.slice/user-1000.slice/session-3.scope",
            "/user.slice/user-1000.slice/user@1000.service/app.slice/app-terminal.scope",
            "/user.slice/user-1000.slice/user@1000.service/init.scope",
            "/user.slice/user-1000.slice/user@1000.service/app.slice",
        ] {
            assert_eq!(unit_in(&format!("0::{path}\n")), None, "{path}");
        }
    }

    #[test]
    fn only_a_unit_that_surely_leaves_its_processes_does_not_end_them() {
        let end = |mode| end_by_kill_mode("worker.service", mode);
        assert_eq!((end(Some("process")), end(Some("none"))), (None, None));
        assert!(end(Some("control-group")).unwrap().contains("SIGTERM to all its processes"));
        assert!(end(Some("mixed")).unwrap().contains("once this one has ended"));
        assert!(end(None).unwrap().contains("does not say"));
    }
}

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
    if let Some(container) = container(variables) {
        return Some(format!("this is a container ({container}), which ends with this process"));
    }
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let unit = unit_in(&groups)?;
    let mode = kill_mode(unit).await;
    end_by_kill_mode(unit.name, mode.as_deref())
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
    let path = groups.lines().find_map(|line| {
        let (names, path) = line.split_once(':')?.1.split_once(':')?;
        (names.is_empty() || names == "name=systemd").then_some(path)
    })?;
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
        assert_eq!(unit_in("0::/\n"), None);
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

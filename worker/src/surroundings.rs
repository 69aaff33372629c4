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
    let unit = unit_of_this_process(variables)?;
    match kill_mode(&unit).await.as_deref() {
        Some("process" | "none") => None,
        Some(mode) => Some(format!(
            "the systemd unit {unit} has KillMode={mode}, which ends its processes with it; KillMode=process leaves them"
        )),
        None => Some(format!("systemd does not say what the unit {unit} does with its processes")),
    }
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

/// The unit whose main process this is.
fn unit_of_this_process(variables: &BTreeMap<String, String>) -> Option<String> {
    if *variables.get("SYSTEMD_EXEC_PID")? != std::process::id().to_string() {
        return None;
    }
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    unit_in(&groups)
}

/// The innermost service or scope in the text of `/proc/self/cgroup`.
fn unit_in(groups: &str) -> Option<String> {
    let path = groups.lines().find_map(|line| {
        let (names, path) = line.split_once(':')?.1.split_once(':')?;
        (names.is_empty() || names == "name=systemd").then_some(path)
    })?;
    let is_unit = |part: &&str| matches!(part.rsplit_once('.'), Some((_, "service" | "scope")));
    path.rsplit('/').find(is_unit).map(str::to_owned)
}

async fn kill_mode(unit: &str) -> Option<String> {
    let manager = if rustix::process::getuid().is_root() { "--system" } else { "--user" };
    for manager in [manager, "--system"] {
        let asked = Command::new("systemctl")
            .args([manager, "show", "--property=KillMode", "--value", unit])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .output();
        let Ok(Ok(answer)) = tokio::time::timeout(ANSWER, asked).await else { continue };
        let mode = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
        if answer.status.success() && !mode.is_empty() {
            return Some(mode);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_the_innermost_one_of_either_hierarchy() {
        let unified = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/worker.service\n";
        assert_eq!(unit_in(unified).as_deref(), Some("worker.service"));
        let hybrid = "4:memory:/system.slice/other.service\n1:name=systemd:/system.slice/worker@a.service/run\n0::/\n";
        assert_eq!(unit_in(hybrid).as_deref(), Some("worker@a.service"));
        assert_eq!(unit_in("0::/\n"), None);
    }
}

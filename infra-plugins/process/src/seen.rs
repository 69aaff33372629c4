//! Processes of a run, whoever started them, as a plan is shown.

use std::collections::BTreeMap;
use std::fs;

use infra_contract::masking;
use serde_json::{Value, json};
use worker_core::ids::RunId;
use worker_core::job_configuration::environment::FLOW_RUN_ID;

use crate::procfs;

/// What the environment of a run is recognised by; what else there is may be of whatever started it.
const OF_PREFECT: &str = "PREFECT";

/// The uppermost processes of a run: those that no other process of the run has started. `named` are the variables that a plan
/// would set. Of other users' processes nothing is seen.
pub(crate) fn of_run(run: RunId, named: &[String]) -> Vec<Value> {
    let run = run.to_string();
    let all = procfs::all().unwrap_or_default();
    let of_run: Vec<_> = all.iter().filter(|stat| procfs::has_variable(stat.pid, FLOW_RUN_ID, &run)).collect();
    let uppermost = of_run.iter().filter(|stat| of_run.iter().all(|other| other.pid != stat.parent));
    uppermost.filter_map(|stat| shown(stat.pid, named)).collect()
}

fn shown(pid: i32, named: &[String]) -> Option<Value> {
    let words = texts(&fs::read(format!("/proc/{pid}/cmdline")).ok()?);
    let environment = texts(&fs::read(format!("/proc/{pid}/environ")).ok()?);
    let directory = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
    let entries = environment.iter().filter_map(|entry| entry.split_once('='));
    let told = |name: &str| name.starts_with(OF_PREFECT) || named.iter().any(|named| named == name);
    let environment: BTreeMap<&str, &str> =
        entries.filter(|(name, _)| told(name)).map(|(name, value)| (name, masking::shown(name, value))).collect();
    Some(json!({
        "command": shell_words::join(&words),
        "working_dir": directory.to_string_lossy(),
        "env_on_top_of_the_workers": environment,
    }))
}

/// Texts that end with a zero byte each.
fn texts(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    bytes.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;

    use rustix::process::{Pid, Signal, kill_process_group};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_uppermost_process_of_a_run_is_shown_without_secrets() {
        let run = RunId(Uuid::new_v4());
        let mut child = Command::new("sh")
            .args(["-c", "sleep 60 & wait"])
            .current_dir("/")
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env(FLOW_RUN_ID, run.to_string())
            .env("PREFECT_API_KEY", "hush")
            .env("MINE", "1")
            .process_group(0)
            .spawn()
            .unwrap();
        // The variables are there once the program is.
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let seen = loop {
            let seen = of_run(run, &["MINE".to_owned()]);
            if !seen.is_empty() && seen[0]["command"].as_str().is_some_and(|command| command.starts_with("sh -c")) {
                break seen;
            }
            assert!(std::time::Instant::now() < limit, "the process is not seen: {seen:?}");
            std::thread::yield_now();
        };
        kill_process_group(Pid::from_child(&child), Signal::KILL).unwrap();
        child.wait().unwrap();
        assert_eq!(seen.len(), 1, "{seen:?}");
        let environment = json!({"MINE": "1", "PREFECT_API_KEY": "***", FLOW_RUN_ID: run.to_string()});
        assert_eq!(seen[0]["env_on_top_of_the_workers"], environment);
        assert_eq!((&seen[0]["command"], &seen[0]["working_dir"]), (&json!("sh -c 'sleep 60 & wait'"), &json!("/")));
    }
}

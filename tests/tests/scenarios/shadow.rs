//! `worker shadow` and `worker render --diff`: looking on, and what differs from what is there.

use std::process::Stdio;

use central_api_wire::state::StateType;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Map, Value, json};
use tokio::process::{Child, Command};
use worker_core::ids::RunId;
use worker_tests::harness::{DaemonSpec, DeploymentSpec, Finished, LabPool, SOON};

use crate::in_memory::InMemory;

const CANARY: &str = "canary-5had0";

/// `worker shadow` of a pool, asking often.
fn shadow(pool: &LabPool) -> DaemonSpec {
    DaemonSpec::bare()
        .with_python()
        .env("PREFECT_API_URL", pool.lab.api.api_url())
        .env("PREFECT_WORKER_QUERY_SECONDS", "0.2")
        .args(["shadow", "--pool", &pool.name])
}

/// What it said, line by line.
fn lines(done: &Finished) -> Vec<Value> {
    done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What another worker has started; it ends, with all that came of it, when this is dropped.
struct Theirs(Child);

impl Drop for Theirs {
    fn drop(&mut self) {
        let pid = self.0.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let Some(pid) = pid {
            kill_process_group(pid, Signal::KILL).unwrap();
        }
    }
}

/// A process as another worker would have started it for a run.
fn process(run: RunId, command: &str, env: &[(&str, &str)]) -> Theirs {
    let child = Command::new("sh")
        .args(["-c", command])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("PREFECT__FLOW_RUN_ID", run.to_string())
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .current_dir("/")
        .process_group(0)
        .spawn();
    Theirs(child.unwrap())
}

async fn deployment(pool: &LabPool, job_variables: Value) -> worker_core::ids::DeploymentId {
    let job_variables: Map<_, _> = job_variables.as_object().unwrap().clone();
    pool.deployment(DeploymentSpec { job_variables, ..DeploymentSpec::default() }).await
}

#[tokio::test]
async fn looking_on_says_what_would_be_done_and_changes_nothing() {
    let it = InMemory::start().await;
    let pool = it.lab.pool().await;
    let good = pool.run(deployment(&pool, json!({"command": "true", "env": {"API_TOKEN": CANARY}})).await).await;
    let bad = pool.run(deployment(&pool, json!({"labels": {"a": 1}})).await).await;
    let before = it.store().read(|tables| tables.requests().len());

    let done = shadow(&pool).args(["--json", "--for", "2"]).finish().await;
    assert_eq!(done.status.code(), Some(1), "a run would crash: {}", done.stderr);
    let said = lines(&done);
    let of = |run: RunId| said.iter().filter(move |line| line["flow_run"] == run.to_string()).collect::<Vec<_>>();
    assert_eq!((of(good).len(), of(bad).len()), (1, 1), "{}", done.stdout);
    assert_eq!(of(good)[0]["launch"]["outcome"], "launched");
    assert_eq!(of(good)[0]["launch"]["plan"]["command"], "true");
    assert_eq!(of(bad)[0]["launch"]["outcome"], "crashed");
    assert!(of(bad)[0]["launch"]["reason"].as_str().unwrap().contains("`labels.a` must be a string"), "{said:?}");
    let summary = &said.last().unwrap()["summary"];
    assert_eq!((&summary["launched"], &summary["crashed"]), (&json!(1), &json!(1)));
    assert!(!done.stdout.contains(CANARY), "{}", done.stdout);

    it.store().read(|tables| {
        for request in &tables.requests()[before..] {
            let is_a_look = request.method == "GET" || request.path.ends_with("/flow_runs/filter");
            assert!(is_a_look, "{} {}", request.method, request.path);
            assert!(!request.headers.keys().any(|name| name.as_str().contains("worker")), "{:?}", request.headers);
        }
    });
    assert!(it.lab.api.workers(&pool.name).await.is_empty(), "it counts as a worker");
    assert_eq!(it.lab.api.last_polled(&pool.name, "default").await, None, "it polled");
    assert_eq!(it.lab.run(good).await.state_type, Some(StateType::Scheduled));
}

#[tokio::test]
async fn what_another_worker_has_started_is_compared() {
    let it = InMemory::start().await;
    let pool = it.lab.pool().await;
    let command = "sleep 60; true";
    let deployment = deployment(&pool, json!({
        "command": format!("sh -c '{command}'"), "env": {"SAME": "1", "OTHER": "ours", "API_TOKEN": CANARY}, "working_dir": "/",
    }))
    .await;
    let run = pool.run(deployment).await;
    it.lab.api.set_state(run, json!({"type": "RUNNING"}), true).await;
    let named = [("SAME", "1"), ("OTHER", "theirs"), ("API_TOKEN", CANARY)];
    let _theirs = process(run, command, &named);
    let mut looking = shadow(&pool).spawn();
    looking.stdout.wait_for("env_on_top_of_the_workers.OTHER: there \"theirs\", ours \"ours\"", SOON).await;
    let status = looking.stop().await;
    assert_eq!(status.code(), Some(1));
    let said = looking.stdout.lines().join("\n");
    assert!(said.contains("Infrastructure of 1 runs compared: 0 the same, 1 different"), "{said}");
    for same in ["SAME", "working_dir:", "command:"] {
        assert!(!said.contains(&format!("{same} there")) && !said.contains(&format!("{same}: there")), "{said}");
    }
    assert!(!said.contains(CANARY), "{said}");

    let diff = || {
        DaemonSpec::bare().env("PREFECT_API_URL", it.lab.api.api_url()).args([
            "render",
            "--diff",
            "--flow-run",
            &run.to_string(),
        ])
    };
    let done = diff().finish().await;
    assert_eq!(done.status.code(), Some(1), "{}", done.stderr);
    assert!(done.stdout.contains("OTHER\n- \"theirs\"\n+ \"ours\""), "{}", done.stdout);
    assert!(!done.stdout.contains(CANARY), "{}", done.stdout);
}

#[tokio::test]
async fn a_comparison_needs_a_run_and_something_that_is_there() {
    let it = InMemory::start().await;
    let pool = it.lab.pool().await;
    let id = deployment(&pool, json!({"command": "true"})).await;
    let run = pool.run(id).await.to_string();
    let diff = || DaemonSpec::bare().env("PREFECT_API_URL", it.lab.api.api_url()).args(["render", "--diff"]);
    let nothing = diff().args(["--flow-run", &run]).finish().await;
    assert!(nothing.status.code() == Some(1) && nothing.stderr.contains("nothing is there"), "{}", nothing.stderr);
    let no_run = diff().args(["--deployment", &id.to_string()]).finish().await;
    assert!(no_run.status.code() == Some(1) && no_run.stderr.contains("flow run"), "{}", no_run.stderr);
}

#[tokio::test]
async fn a_pool_that_cannot_be_looked_on_at_is_said() {
    let it = InMemory::start().await;
    let gone = it.lab.pool_named("gone").await;
    let done = shadow(&gone).args(["--for", "1"]).finish().await;
    assert!(done.status.code() == Some(1) && done.stderr.contains("'gone' does not exist"), "{}", done.stderr);
    it.lab.api.create_pool("other", "ecs", Map::new()).await;
    let other = it.lab.pool_named("other").await;
    let done = shadow(&other).args(["--for", "1"]).finish().await;
    assert!(done.status.code() == Some(1) && done.stderr.contains("type 'ecs'"), "{}", done.stderr);
}

//! Secrets that the worker comes to know leave it nowhere.

use central_api_wire::state::StateType;
use serde_json::{Map, Value, json};
use worker_tests::api::store::NewBlock;
use worker_tests::harness::{DaemonSpec, DeploymentSpec, Output, SOON, run_resource};

use crate::in_memory::InMemory;

const TOKEN: &str = "t0ken/with+odd chars-0123";

fn assert_clean(output: &Output, what: &str) {
    let telling: Vec<String> = output.lines().into_iter().filter(|line| line.contains(TOKEN)).collect();
    assert_eq!(telling, Vec::<String>::new(), "{what}");
}

/// The secret of a block is part of a path that does not exist, which everybody is told.
#[tokio::test]
async fn a_secret_that_an_error_repeats_is_masked_in_states_logs_events_and_the_workers_own_log() {
    let it = InMemory::start().await;
    let pool = it.lab.pool().await;
    it.store().create_block(NewBlock::secret("tok", TOKEN));
    let directory = json!("/nonexistent/{{ prefect.blocks.secret.tok }}");
    let job_variables = Map::from_iter([("command".to_owned(), json!("true")), ("working_dir".to_owned(), directory)]);
    let run = pool.run(pool.deployment(DeploymentSpec { job_variables, ..DeploymentSpec::default() }).await).await;
    let daemon = pool.daemon().env("WORKER_LOG_LEVEL", "debug").started().await;
    let state = it.lab.ends(run, SOON).await;
    assert_eq!(state.state_type, StateType::Crashed);
    let message = state.message.unwrap();
    assert!(message.contains("/nonexistent/***") && !message.contains(TOKEN), "{message}");
    it.lab.logged(run, "/nonexistent/***").await;
    for line in it.lab.api.logs(run).await {
        assert!(!line.message.contains(TOKEN), "{}", line.message);
    }
    let events = it.lab.api.events("prefect.worker.submitted-flow-run", &run_resource(run)).await;
    assert!(!events.is_empty() && !serde_json::to_string(&events).unwrap().contains(TOKEN));
    let why = DaemonSpec::bare().args(["why", &run.to_string()]).env("WORKER_STATE_DIR", daemon.path("state"));
    let why = why.finish().await.stdout;
    assert!(why.contains("/nonexistent/***") && !why.contains(TOKEN), "{why}");
    daemon.stderr.wait_for("/nonexistent/***", SOON).await;
    assert_clean(&daemon.stderr, "standard error");
    assert_clean(&daemon.stdout, "standard output");
}

/// What a flow prints is its own: Prefect's worker does not touch it either.
#[tokio::test]
async fn what_a_flow_prints_is_passed_on_as_it_is() {
    let it = InMemory::start().await;
    let pool = it.lab.pool().await;
    it.store().create_block(NewBlock::secret("tok", TOKEN));
    let mut job_variables = worker_tests::harness::command_variables("sh -c 'echo \"it is $T\"'");
    job_variables.insert("env".to_owned(), json!({"T": "{{ prefect.blocks.secret.tok }}"}));
    let run = pool.run(pool.deployment(DeploymentSpec { job_variables, ..DeploymentSpec::default() }).await).await;
    let daemon = pool.daemon().started().await;
    it.lab.reaches(run, StateType::Completed).await;
    daemon.stdout.wait_for(&format!("it is {TOKEN}"), SOON).await;
    assert_clean(&daemon.stderr, "standard error");
}

/// Tests read the log as people do; left alone it is for programs where no person reads it.
#[tokio::test]
async fn a_log_that_goes_to_no_terminal_is_json_and_names_the_run_of_each_line() {
    let it = InMemory::start().await;
    let pool = it.lab.pool().await;
    let run = pool.run(pool.command("true").await).await;
    let daemon = pool.daemon().without_env("WORKER_LOG_FORMAT").started().await;
    it.lab.reaches(run, StateType::Completed).await;
    let line = daemon.stderr.wait_for("submitted to infrastructure", SOON).await;
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["level"], &line["span"]["id"]), (&json!("INFO"), &json!(run.to_string())));
    for line in daemon.stderr.lines() {
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
    }
}

//! The process kind, from the outside.

use central_api_wire::state::StateType;
use serde_json::{Map, json};
use worker_tests::harness::{DeploymentSpec, Lab, command_variables, until};

use crate::marks::Marks;

pub(crate) async fn c084_a_killed_or_exited_process_crashes_its_run_with_the_code(lab: &Lab) {
    let pool = lab.pool().await;
    let killed = pool.run(pool.engine("sh -c 'kill -KILL $$'").await).await;
    let exited = pool.run(pool.engine("sh -c 'exit 3'").await).await;
    let _daemon = pool.daemon().started().await;
    let message = lab.reaches(killed, StateType::Crashed).await.message.unwrap();
    assert!(message.starts_with("Process exited with status code: -9."), "{message}");
    let message = lab.reaches(exited, StateType::Crashed).await.message.unwrap();
    assert!(message.starts_with("Process exited with status code: 3."), "{message}");
}

pub(crate) async fn an_ended_run_leaves_no_process_and_no_directory(lab: &Lab) {
    let pool = lab.pool().await;
    let run = pool.run(pool.command("sh -c 'echo left > behind'").await).await;
    let daemon = pool.daemon().started().await;
    lab.reaches(run, StateType::Completed).await;
    until(lab.patience, "the end of its processes", async || daemon.offspring().is_empty().then_some(())).await;
    let left = || fs_err::read_dir(daemon.path("tmp")).unwrap().count();
    until(lab.patience, "the removal of its directory", async || (left() == 0).then_some(())).await;
}

pub(crate) async fn the_environment_of_a_run_names_it_and_the_api(lab: &Lab) {
    let (pool, marks) = (lab.pool().await, Marks::new());
    let mut job_variables = command_variables(&marks.shell("env > environment"));
    job_variables.insert("env".to_owned(), json!({"FROM_DEPLOYMENT": "yes"}));
    let deployment = pool.deployment(DeploymentSpec { job_variables, ..DeploymentSpec::default() }).await;
    let run = pool.run(deployment).await;
    let _daemon = pool.daemon().name("namer").started().await;
    lab.reaches(run, StateType::Completed).await;
    let environment = fs_err::read_to_string(marks.path("environment")).unwrap();
    let expected = [
        format!("PREFECT__FLOW_RUN_ID={run}"),
        format!("PREFECT__DEPLOYMENT_ID={deployment}"),
        "PREFECT__WORKER_NAME=namer".to_owned(),
        format!("PREFECT_API_URL={}", lab.api.api_url()),
        "FROM_DEPLOYMENT=yes".to_owned(),
    ];
    for entry in expected {
        assert!(environment.lines().any(|line| line == entry), "{entry} is not in\n{environment}");
    }
}

pub(crate) async fn output_is_copied_unless_it_is_not_wanted(lab: &Lab) {
    let pool = lab.pool().await;
    let silent = Map::from_iter([
        ("command".to_owned(), json!("echo not-to-be-seen")),
        ("report_state".to_owned(), json!("worker")),
        ("stream_output".to_owned(), json!(false)),
    ]);
    let silent = pool.deployment(DeploymentSpec { job_variables: silent, ..DeploymentSpec::default() }).await;
    let daemon = pool.daemon().started().await;
    lab.reaches(pool.run(silent).await, StateType::Completed).await;
    lab.reaches(pool.run(pool.command("echo to-be-seen").await).await, StateType::Completed).await;
    daemon.stdout.wait_for("to-be-seen", lab.patience).await;
    assert!(!daemon.stdout.has("not-to-be-seen"));
}

on_test_api![
    c084_a_killed_or_exited_process_crashes_its_run_with_the_code,
    an_ended_run_leaves_no_process_and_no_directory,
    the_environment_of_a_run_names_it_and_the_api,
    output_is_copied_unless_it_is_not_wanted,
];

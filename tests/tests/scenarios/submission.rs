//! From the claim to the infrastructure.

use std::collections::BTreeMap;

use central_api_wire::state::StateType;
use serde_json::{Map, Value, json};
use worker_tests::harness::{DeploymentSpec, Lab, command_variables, run_resource};

use crate::marks::Marks;

pub(crate) async fn c051_an_aborted_claim_starts_nothing(lab: &Lab) {
    let (pool, marks) = (lab.pool().await, Marks::new());
    let run = pool.run(pool.limited(0, "ENQUEUE", &marks.command("ran")).await).await;
    let _daemon = pool.daemon().started().await;
    lab.logged(run, "Aborted submission").await;
    pool.polled("default", 2).await;
    assert_eq!(lab.history(run).await, ["Scheduled"]);
    assert_eq!(marks.made().len(), 0);
}

pub(crate) async fn c052_a_rejected_claim_starts_nothing_and_leaves_the_state_alone(lab: &Lab) {
    let (pool, marks) = (lab.pool().await, Marks::new());
    let queued = pool.limited(1, "ENQUEUE", &marks.endless_command()).await;
    let cancelled = pool.limited(1, "CANCEL_NEW", &marks.endless_command()).await;
    let holders = [pool.run(queued).await, pool.run(cancelled).await];
    let _daemon = pool.daemon().started().await;
    for run in holders {
        lab.reaches(run, StateType::Running).await;
    }
    let (waits, gives_up) = (pool.run(queued).await, pool.run(cancelled).await);
    lab.reaches(gives_up, StateType::Cancelled).await;
    lab.logged(waits, "Aborted submission").await;
    pool.polled("default", 2).await;
    // Once its wait is over it is claimed again, which a slow machine gets to see.
    let mut history = lab.history(waits).await;
    history.dedup();
    assert_eq!(history, ["Scheduled", "AwaitingConcurrencySlot"]);
    assert_eq!(lab.history(gives_up).await, ["Scheduled", "Cancelled"]);
    assert_eq!(marks.made().len(), 2, "a rejected run was started");
}

pub(crate) async fn c056_a_run_whose_deployment_is_gone_is_cancelled(lab: &Lab) {
    let (pool, marks) = (lab.pool().await, Marks::new());
    let (run, deployment) = pool.orphan(&marks.command("ran")).await;
    let _daemon = pool.daemon().started().await;
    let state = lab.reaches(run, StateType::Cancelled).await;
    assert_eq!(state.message, Some(format!("Deployment {deployment} no longer exists, cancelled run.")));
    assert_eq!(marks.made().len(), 0);
}

pub(crate) async fn c057_a_deleted_run_does_no_harm(lab: &Lab) {
    let (pool, marks) = (lab.pool().await, Marks::new());
    let run = pool.run(pool.command(&marks.held_command(0)).await).await;
    let mut daemon = pool.daemon().args(["--limit", "1"]).started().await;
    marks.count(1).await;
    lab.api.delete_run(run).await;
    marks.release();
    lab.reaches(pool.run(pool.command("true").await).await, StateType::Completed).await;
    assert!(daemon.is_running());
}

pub(crate) async fn c058_submitting_is_announced_before_the_launch(lab: &Lab) {
    let (pool, marks) = (lab.pool().await, Marks::new());
    let run = pool.run(pool.command(&marks.command("ran")).await).await;
    let _daemon = pool.daemon().started().await;
    lab.reaches(run, StateType::Completed).await;
    let states = lab.api.states(run).await;
    let submitting = states.iter().find(|state| state.name() == "Submitting").unwrap();
    assert_eq!(submitting.state_type, StateType::Pending);
    assert!(submitting.timestamp <= Some(marks.first_at()));
}

pub(crate) async fn c059_a_run_is_labelled_with_worker_and_pool(lab: &Lab) {
    let pool = lab.pool().await;
    let run = pool.run(pool.command("true").await).await;
    let _daemon = pool.daemon().name("label maker").started().await;
    lab.reaches(run, StateType::Completed).await;
    let labels = lab.run(run).await.labels.unwrap();
    let pool_id = lab.api.pool(&pool.name).await.unwrap().id;
    let expected = [
        ("prefect.worker.name", "label maker".to_owned()),
        ("prefect.worker.type", "process".to_owned()),
        ("prefect.work-pool.name", pool.name.clone()),
        ("prefect.work-pool.id", pool_id.to_string()),
    ];
    for (label, value) in expected {
        assert_eq!(labels[label], json!(value), "{label}");
    }
}

pub(crate) async fn c060_the_pid_of_the_command_is_stored(lab: &Lab) {
    let (pool, marks) = (lab.pool().await, Marks::new());
    let command = marks.shell("echo $$ >> marks; while ! test -e released; do sleep 0.05; done");
    let run = pool.run(pool.command(&command).await).await;
    let _daemon = pool.daemon().started().await;
    marks.count(1).await;
    let pid = lab.until("infrastructure_pid", async || lab.run(run).await.infrastructure_pid).await;
    assert_eq!([pid], *marks.made());
    marks.release();
    lab.reaches(run, StateType::Completed).await;
}

pub(crate) async fn c061_a_run_that_cannot_be_started_is_crashed_with_the_reason(lab: &Lab) {
    let pool = lab.pool().await;
    let run = pool.run(pool.engine("/does/not/exist --at-all").await).await;
    let _daemon = pool.daemon().started().await;
    let state = lab.reaches(run, StateType::Crashed).await;
    let message = state.message.unwrap();
    assert!(message.starts_with("Failed to submit flow run to infrastructure: "), "{message}");
    assert!(message.contains("/does/not/exist"), "{message}");
    assert_eq!(lab.run(run).await.infrastructure_pid, None);
    lab.logged(run, "Failed to submit flow run").await;
}

pub(crate) async fn c062_an_error_exit_crashes_the_run_with_code_explanation_and_hint(lab: &Lab) {
    let pool = lab.pool().await;
    let run = pool.run(pool.engine("sh -c 'exit 126'").await).await;
    let _daemon = pool.daemon().started().await;
    let message = lab.reaches(run, StateType::Crashed).await.message.unwrap();
    assert!(message.contains("status code: 126"), "{message}");
    assert!(message.contains("Command found but not executable (permission denied)."), "{message}");
    lab.logged(run, "Reported flow run").await;
    assert!(lab.api.logs(run).await.len() >= 3, "the hint is in the log as well");
}

pub(crate) async fn c063_a_run_that_has_ended_is_not_overwritten(lab: &Lab) {
    let (pool, marks) = (lab.pool().await, Marks::new());
    let run = pool.run(pool.engine(&marks.held_command(5)).await).await;
    let _daemon = pool.daemon().started().await;
    marks.count(1).await;
    for state in ["RUNNING", "COMPLETED"] {
        lab.api.set_state(run, json!({"type": state}), false).await;
    }
    marks.release();
    let executed = lab.executed(run).await;
    assert_eq!(related(&executed.related, "flow-run")["prefect.infrastructure.status-code"], "5");
    assert_eq!(lab.history(run).await.last().unwrap(), "Completed");
}

pub(crate) async fn c064_submitted_and_executed_events_say_all_they_concern(lab: &Lab) {
    let pool = lab.pool().await;
    let spec = DeploymentSpec {
        job_variables: command_variables("true"),
        tags: vec!["blue".to_owned(), "amber".to_owned()],
        ..DeploymentSpec::default()
    };
    let deployment = pool.deployment(spec).await;
    let run = pool.run(deployment).await;
    let _daemon = pool.daemon().name("Event Maker").started().await;
    let executed = lab.executed(run).await;
    let submitted = lab.api.events("prefect.worker.submitted-flow-run", &run_resource(run)).await.remove(0);

    assert_eq!(executed.follows, Some(submitted.id));
    assert_eq!(submitted.resource["prefect.resource.id"], "prefect.worker.process.event-maker");
    assert_eq!(submitted.resource["prefect.resource.name"], "Event Maker");
    assert_eq!(submitted.resource["prefect.worker-type"], "process");
    let roles: Vec<&str> = submitted.related.iter().map(|entry| entry["prefect.resource.role"].as_str()).collect();
    assert_eq!(roles, ["deployment", "flow", "flow-run", "tag", "tag", "work-pool"]);
    let tags: Vec<&str> = submitted.related[3..5].iter().map(|tag| tag["prefect.resource.id"].as_str()).collect();
    assert_eq!(tags, ["prefect.tag.amber", "prefect.tag.blue"]);
    assert_eq!(
        related(&submitted.related, "deployment")["prefect.resource.id"],
        format!("prefect.deployment.{deployment}")
    );
    let ended = related(&executed.related, "flow-run");
    assert_eq!(ended["prefect.infrastructure.status-code"], "0");
    assert_eq!(Some(&ended["prefect.infrastructure.identifier"]), lab.run(run).await.infrastructure_pid.as_ref());
}

fn related<'a>(related: &'a [BTreeMap<String, String>], role: &str) -> &'a BTreeMap<String, String> {
    related.iter().find(|entry| entry["prefect.resource.role"] == role).unwrap()
}

/// Unknown placeholders, wrong types, and references to what does not exist crash the run that has them, and no other.
pub(crate) async fn a_bad_configuration_crashes_its_run_only(lab: &Lab) {
    let pool = lab.pool().await;
    let mut daemon = pool.daemon().started().await;
    let cases = [
        (json!({"command": "true", "env": {"A": "{{ prefect.blocks.secret.nothing-of-this-name }}"}}), "secret"),
        (json!({"command": "true", "working_dir": "/does/not/exist"}), "/does/not/exist"),
        (json!({"command": "sh -c 'unbalanced"}), "command"),
    ];
    for (job_variables, reason) in cases {
        let job_variables: Map<String, Value> = job_variables.as_object().unwrap().clone();
        let run = pool.run(pool.deployment(DeploymentSpec { job_variables, ..DeploymentSpec::default() }).await).await;
        let message = lab.reaches(run, StateType::Crashed).await.message.unwrap();
        assert!(message.starts_with("Failed to submit flow run to infrastructure: "), "{message}");
        assert!(message.contains(reason), "{message}");
    }
    lab.reaches(pool.run(pool.command("true").await).await, StateType::Completed).await;
    assert!(daemon.is_running());
}

/// A command that knows nothing of Prefect: the worker says Running, and Completed or Failed by its exit code.
pub(crate) async fn the_worker_reports_for_a_command_that_cannot(lab: &Lab) {
    let (pool, marks) = (lab.pool().await, Marks::new());
    let good = pool.run(pool.command(&marks.held_command(0)).await).await;
    let bad = pool.run(pool.command("sh -c 'exit 4'").await).await;
    let _daemon = pool.daemon().started().await;
    lab.reaches(good, StateType::Running).await;
    marks.release();
    lab.reaches(good, StateType::Completed).await;
    let failed = lab.reaches(bad, StateType::Failed).await;
    assert!(failed.message.unwrap().contains("status code: 4"));
}

on_test_api![
    c051_an_aborted_claim_starts_nothing,
    c052_a_rejected_claim_starts_nothing_and_leaves_the_state_alone,
    c056_a_run_whose_deployment_is_gone_is_cancelled,
    c057_a_deleted_run_does_no_harm,
    c058_submitting_is_announced_before_the_launch,
    c059_a_run_is_labelled_with_worker_and_pool,
    c060_the_pid_of_the_command_is_stored,
    c061_a_run_that_cannot_be_started_is_crashed_with_the_reason,
    c062_an_error_exit_crashes_the_run_with_code_explanation_and_hint,
    c063_a_run_that_has_ended_is_not_overwritten,
    c064_submitted_and_executed_events_say_all_they_concern,
    a_bad_configuration_crashes_its_run_only,
    the_worker_reports_for_a_command_that_cannot,
];

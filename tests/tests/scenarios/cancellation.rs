//! Cancelling, pausing, resuming.

use std::time::Duration;

use central_api_wire::state::StateType;
use serde_json::json;
use worker_tests::api::store::Tables;
use worker_tests::harness::{Lab, run_resource, until};

use crate::in_memory::InMemory;
use crate::marks::Marks;

pub(crate) async fn c085_a_cancelled_run_is_terminated_then_killed_and_reported(lab: &Lab) {
    let (pool, marks) = (lab.pool().await, Marks::new());
    let stubborn = marks.shell("trap 'echo asked >> marks' TERM; echo started >> marks; while :; do sleep 0.1; done");
    let run = pool.run(pool.command(&stubborn).await).await;
    let daemon = pool.daemon().started().await;
    lab.reaches(run, StateType::Running).await;
    marks.count(1).await;
    lab.cancel(run).await;
    let state = lab.reaches(run, StateType::Cancelled).await;
    assert_eq!(state.message.as_deref(), Some("Flow run was cancelled successfully."));
    assert_eq!(marks.made(), ["started", "asked"]);
    assert_eq!(lab.history(run).await[3..], ["Running", "Cancelling", "Cancelled"]);
    lab.until("the event", async || {
        lab.api.events("prefect.runner.cancelled-flow-run", &run_resource(run)).await.pop()
    })
    .await;
    until(lab.patience, "the end of its processes", async || daemon.offspring().is_empty().then_some(())).await;
}

/// A run whose process has not said Running yet is cancelled as well.
pub(crate) async fn a_pending_run_with_a_process_is_killed_and_cancelled(lab: &Lab) {
    let (pool, marks) = (lab.pool().await, Marks::new());
    let run = pool.run(pool.engine(&marks.endless_command()).await).await;
    let daemon = pool.daemon().started().await;
    marks.count(1).await;
    lab.until("infrastructure_pid", async || lab.run(run).await.infrastructure_pid).await;
    lab.cancel(run).await;
    lab.reaches(run, StateType::Cancelled).await;
    assert_eq!(lab.history(run).await, ["Scheduled", "Pending", "Submitting", "Cancelling", "Cancelled"]);
    until(lab.patience, "the end of its processes", async || daemon.offspring().is_empty().then_some(())).await;
}

pub(crate) async fn a_scheduled_run_that_is_cancelled_is_never_started(lab: &Lab) {
    let (pool, marks) = (lab.pool().await, Marks::new());
    let run = pool.run(pool.command(&marks.command("ran")).await).await;
    lab.cancel(run).await;
    let _daemon = pool.daemon().started().await;
    pool.polled("default", 2).await;
    assert_eq!(lab.history(run).await, ["Scheduled", "Cancelled"]);
    assert_eq!(marks.made().len(), 0);
}

pub(crate) async fn cancelling_one_run_leaves_the_others_alone(lab: &Lab) {
    let (pool, marks) = (lab.pool().await, Marks::new());
    let deployment = pool.command(&marks.held_command(0)).await;
    let (cancelled, kept) = (pool.run(deployment).await, pool.run(deployment).await);
    let _daemon = pool.daemon().started().await;
    marks.count(2).await;
    lab.reaches(cancelled, StateType::Running).await;
    lab.cancel(cancelled).await;
    lab.reaches(cancelled, StateType::Cancelled).await;
    assert_eq!(lab.history(kept).await.last().unwrap(), "Running");
    marks.release();
    lab.reaches(kept, StateType::Completed).await;
}

pub(crate) async fn c123_a_resumed_run_is_submitted_like_a_new_one(lab: &Lab) {
    let (pool, marks) = (lab.pool().await, Marks::new());
    let run = pool.run(pool.engine(&marks.held_command(0)).await).await;
    let _daemon = pool.daemon().started().await;
    marks.count(1).await;
    let first = lab.until("infrastructure_pid", async || lab.run(run).await.infrastructure_pid).await;
    lab.api.set_state(run, json!({"type": "RUNNING"}), false).await;
    let details = json!({"pause_reschedule": true, "pause_key": "1"});
    lab.api.set_state(run, json!({"type": "PAUSED", "name": "Suspended", "state_details": details}), false).await;
    marks.release();
    lab.executed(run).await;
    assert_eq!(lab.history(run).await.last().unwrap(), "Suspended");

    lab.api.resume(run).await;
    marks.count(2).await;
    let second = async || lab.run(run).await.infrastructure_pid.filter(|pid| *pid != first);
    lab.until("another infrastructure_pid", second).await;
    assert_eq!(lab.history(run).await[5..], ["Resuming", "Pending", "Submitting"]);
}

/// More than two pages of the API. The question beside a stream comes once a minute, so it is not what finds the rest.
#[tokio::test]
async fn hundreds_that_are_cancelled_together_end_together() {
    const MANY: usize = 500;
    let it = InMemory::start().await;
    let pool = it.lab.pool().await;
    let deployment = pool.command("sleep 600").await;
    let mut runs = Vec::new();
    for _ in 0..MANY {
        runs.push(pool.run(deployment).await);
    }
    let _daemon = pool.daemon().env("WORKER_ADMISSION_ENABLED", "false").started().await;
    let in_state =
        |tables: &Tables, state: &StateType| tables.runs().filter(|run| run.state_type() == Some(state)).count();
    let all_are = async |state: StateType, bound: Duration| {
        let all = |tables: &Tables| (in_state(tables, &state) >= MANY).then_some(());
        it.store().wait_until(&format!("all runs to be {state}"), bound, all).await.unwrap();
    };
    all_are(StateType::Running, Duration::from_mins(2)).await;
    for run in runs {
        it.store().cancel_run(run).unwrap();
    }
    all_are(StateType::Cancelled, Duration::from_secs(30)).await;
}

on_test_api![
    c085_a_cancelled_run_is_terminated_then_killed_and_reported,
    a_pending_run_with_a_process_is_killed_and_cancelled,
    a_scheduled_run_that_is_cancelled_is_never_started,
    cancelling_one_run_leaves_the_others_alone,
    c123_a_resumed_run_is_submitted_like_a_new_one,
];

//! Workers that are killed: no run is lost, doubled or left behind.

use central_api_wire::state::StateType;
use futures::future::join_all;
use serde_json::json;
use worker_tests::harness::SOON;

use super::{Bed, run_with};

#[tokio::test]
async fn a_job_goes_on_while_its_worker_is_killed_and_is_reported_once() {
    let bed = Bed::new().await;
    let run = bed.command(&bed.marks.held_command(0)).await;
    let first = bed.daemon().name("steady").started().await;
    bed.it.lab.reaches(run, StateType::Running).await;
    bed.marks.count(1).await;
    let home = first.kill().await;
    let second = bed.daemon().name("steady").spawn_in(home);
    second.stderr.wait_for("Taking over 1 runs", SOON).await;
    bed.completes_as_started(run).await;
}

#[tokio::test]
async fn a_job_that_fails_while_no_worker_lives_is_reported_by_the_next() {
    let bed = Bed::new().await;
    let run = bed.engine(&bed.marks.held_command(3)).await;
    let first = bed.daemon().name("steady").started().await;
    bed.marks.count(1).await;
    bed.it.lab.until("infrastructure_pid", async || bed.it.lab.run(run).await.infrastructure_pid).await;
    let home = first.kill().await;
    bed.marks.release();
    bed.job_is(run, "Failed").await;
    let _second = bed.daemon().name("steady").spawn_in(home);
    let message = bed.it.lab.reaches(run, StateType::Crashed).await.message.unwrap();
    assert!(message.contains("status code 3"), "{message}");
    bed.nothing_is_left(run).await;
}

/// Where the worker dies in the middle of a launch, the next one finishes what it began, once.
#[tokio::test]
async fn a_worker_that_dies_around_a_launch_starts_nothing_twice() {
    let points = [
        "claim.persisted",
        "prepared",
        "launch.persisted",
        "launch.done",
        "launched.persisted",
        "report.persisted",
        "cleanup.persisted",
    ];
    for some in points.chunks(2) {
        join_all(some.iter().map(|point| dies_at(point))).await;
    }
}

async fn dies_at(point: &str) {
    let bed = Bed::new().await;
    let command = bed.marks.command("ran");
    // The Job stays, so that a second one would be seen.
    let run = run_with(&bed.pool, &json!({"command": command, "report_state": "worker", "cleanup": "keep"})).await;
    let mut first = bed.daemon().name("steady").env("WORKER_FAILPOINT", point).spawn();
    first.exited(super::PODS).await;
    let home = first.kill().await;
    let _second = bed.daemon().name("steady").spawn_in(home);
    bed.it.lab.reaches(run, StateType::Completed).await;
    bed.it.lab.executed(run).await;
    assert_eq!(bed.marks.made(), ["ran"], "{point}");
    assert_eq!(bed.jobs_of(run).await.len(), 1, "{point}");
}

/// What it launched is to the next worker as the Job of any other: its failure is seen, its health left alone.
#[tokio::test]
async fn without_its_state_a_worker_crashes_failing_runs_of_its_past_and_no_others() {
    let bed = Bed::new().await;
    let (failing, healthy) = (crate::marks::Marks::new(), &bed.marks);
    let pool = super::kubernetes_pool(&bed.it.lab, bed.namespace.name(), &[healthy, &failing], |_| {}).await;
    let well = run_with(&pool, &json!({"command": healthy.held_command(0), "cleanup": "keep"})).await;
    let ill = run_with(&pool, &json!({"command": failing.held_command(3), "cleanup": "keep"})).await;
    let first = bed.daemon_of(&pool).name("forgetful").started().await;
    healthy.count(1).await;
    failing.count(1).await;
    for run in [well, ill] {
        bed.it.lab.until("infrastructure_pid", async || bed.it.lab.run(run).await.infrastructure_pid).await;
        bed.puts(run, json!({"type": "RUNNING"})).await;
    }
    let home = first.kill().await;
    fs_err::remove_dir_all(home.path().join("state")).unwrap();
    let _second = bed.daemon_of(&pool).name("forgetful").spawn_in(home);
    healthy.release();
    bed.job_is(well, "Complete").await;
    failing.release();
    let state = bed.it.lab.reaches(ill, StateType::Crashed).await;
    assert_eq!(state.message.as_deref(), Some("No active or succeeded pods found for any job"));
    assert_eq!(bed.it.lab.history(well).await.last().unwrap(), "Running", "its engine reports for it");
    assert_eq!((healthy.made(), failing.made()), (vec!["started".to_owned()], vec!["started".to_owned()]));
}

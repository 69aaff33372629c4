//! Which runs are taken, and when.

use std::time::Instant;

use central_api_wire::state::StateType;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use worker_tests::harness::{DeploymentSpec, Lab, RunSpec, command_variables};

use crate::in_memory::{InMemory, poll_path};
use crate::marks::Marks;

pub(crate) async fn c042_a_missing_queue_is_an_empty_answer(lab: &Lab) {
    let pool = lab.pool().await;
    let mut daemon = pool.daemon().args(["-q", "later"]).started().await;
    lab.api.create_queue(&pool.name, "later", 5).await;
    let job_variables = command_variables("true");
    let queue = Some("later".to_owned());
    let deployment = pool.deployment(DeploymentSpec { queue, job_variables, ..DeploymentSpec::default() }).await;
    lab.reaches(pool.run(deployment).await, StateType::Completed).await;
    assert!(daemon.is_running());
}

pub(crate) async fn c043_only_the_named_queues_are_polled(lab: &Lab) {
    let pool = lab.pool().await;
    lab.api.create_queue(&pool.name, "mine", 5).await;
    let mine = DeploymentSpec {
        queue: Some("mine".to_owned()),
        job_variables: command_variables("true"),
        ..DeploymentSpec::default()
    };
    let other = pool.run(pool.command("true").await).await;
    let mine = pool.run(pool.deployment(mine).await).await;
    let _daemon = pool.daemon().args(["-q", "mine"]).started().await;
    lab.reaches(mine, StateType::Completed).await;
    pool.polled("mine", 3).await;
    assert_eq!(lab.history(other).await.len(), 1, "the run of another queue was touched");
}

pub(crate) async fn c044_priority_beats_lateness(lab: &Lab) {
    let (pool, marks) = (lab.pool().await, Marks::new());
    lab.api.create_queue(&pool.name, "urgent", 1).await;
    lab.api.create_queue(&pool.name, "whenever", 9).await;
    let mut runs = Vec::new();
    for (queue, minutes_late) in [("whenever", 30), ("urgent", 1), ("whenever", 20), ("urgent", 2)] {
        let name = format!("{queue}-{minutes_late}");
        let spec = DeploymentSpec {
            queue: Some(queue.to_owned()),
            job_variables: command_variables(&marks.command(&name)),
            ..DeploymentSpec::default()
        };
        let due = Some(Timestamp::now() - SignedDuration::from_mins(minutes_late));
        runs.push(lab.api.create_run(pool.deployment(spec).await, RunSpec { due, ..RunSpec::default() }).await);
    }
    let _daemon = pool.daemon().args(["--limit", "1"]).started().await;
    for run in runs {
        lab.reaches(run, StateType::Completed).await;
    }
    assert_eq!(marks.made(), ["urgent-2", "urgent-1", "whenever-30", "whenever-20"]);
}

pub(crate) async fn c046_the_limit_holds_and_a_free_slot_is_used(lab: &Lab) {
    let (pool, marks) = (lab.pool().await, Marks::new());
    let deployment = pool.command(&marks.exclusive_command()).await;
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(pool.run(deployment).await);
    }
    let _daemon = pool.daemon().args(["--limit", "1"]).started().await;
    for run in runs {
        lab.reaches(run, StateType::Completed).await;
    }
    assert_eq!(marks.made(), ["alone"; 4], "two runs were in progress at a time");
}

pub(crate) async fn c047_a_slot_is_freed_however_the_submission_ends(lab: &Lab) {
    let pool = lab.pool().await;
    let (orphaned, _) = pool.orphan("true").await;
    let unlaunchable = pool.run(pool.engine("/does/not/exist").await).await;
    let crashes = pool.run(pool.engine("sh -c 'exit 7'").await).await;
    let full = pool.limited(1, "CANCEL_NEW", "true").await;
    let holder = pool.run(full).await;
    lab.api.set_state(holder, json!({"type": "PENDING"}), false).await;
    let refused = pool.run(full).await;
    let _daemon = pool.daemon().args(["--limit", "1"]).started().await;
    lab.reaches(unlaunchable, StateType::Crashed).await;
    lab.reaches(crashes, StateType::Crashed).await;
    lab.reaches(orphaned, StateType::Cancelled).await;
    lab.reaches(refused, StateType::Cancelled).await;
    for _ in 0..2 {
        lab.reaches(pool.run(pool.command("true").await).await, StateType::Completed).await;
    }
}

pub(crate) async fn c048_overlapping_polls_submit_a_run_once(lab: &Lab) {
    let (pool, marks) = (lab.pool().await, Marks::new());
    let deployment = pool.command(&marks.command("ran")).await;
    let _daemon = pool.daemon().env("PREFECT_WORKER_QUERY_SECONDS", "0.02").started().await;
    let mut runs = Vec::new();
    for _ in 0..10 {
        runs.push(pool.run(deployment).await);
    }
    for run in runs {
        lab.reaches(run, StateType::Completed).await;
        assert_eq!(lab.history(run).await, ["Scheduled", "Pending", "Submitting", "Running", "Completed"]);
    }
    assert_eq!(marks.made().len(), 10);
}

pub(crate) async fn c049_a_future_run_is_taken_early_and_starts_on_time(lab: &Lab) {
    let (pool, marks) = (lab.pool().await, Marks::new());
    let deployment = pool.command(&marks.command("started")).await;
    let due = Timestamp::now() + SignedDuration::from_secs(10);
    let run = lab.api.create_run(deployment, RunSpec { due: Some(due), ..RunSpec::default() }).await;
    let _daemon = pool.daemon().args(["--prefetch-seconds", "60"]).started().await;
    let claimed = lab.reaches(run, StateType::Pending).await;
    assert!(claimed.timestamp < Some(due), "it was not taken early");
    lab.reaches(run, StateType::Completed).await;
    assert!(marks.first_at() >= due, "it was started before its time");
}

pub(crate) async fn a_future_run_beyond_the_prefetch_window_is_left_alone(lab: &Lab) {
    let pool = lab.pool().await;
    let due = Some(Timestamp::now() + SignedDuration::from_mins(2));
    let run = lab.api.create_run(pool.command("true").await, RunSpec { due, ..RunSpec::default() }).await;
    let _daemon = pool.daemon().args(["--prefetch-seconds", "0"]).started().await;
    pool.polled("default", 3).await;
    assert_eq!(lab.history(run).await, ["Scheduled"]);
}

pub(crate) async fn c050_nothing_is_started_from_a_paused_pool_or_queue(lab: &Lab) {
    let pool = lab.pool().await;
    let run = pool.run(pool.command("true").await).await;
    lab.api.update_pool(&pool.name, json!({"is_paused": true})).await;
    let daemon = pool.daemon().started().await;
    daemon.stdout.wait_for("is currently paused", lab.patience).await;
    pool.polled("default", 3).await;
    assert_eq!(lab.history(run).await, ["Scheduled"]);

    lab.api.update_queue(&pool.name, "default", json!({"is_paused": true})).await;
    lab.api.update_pool(&pool.name, json!({"is_paused": false})).await;
    pool.polled("default", 3).await;
    assert_eq!(lab.history(run).await, ["Scheduled"]);

    lab.api.update_queue(&pool.name, "default", json!({"is_paused": false})).await;
    lab.reaches(run, StateType::Completed).await;
}

/// More of them at once make a server with a file for a database block its writers for a minute at a time.
const RACED_RUNS: usize = 4;

pub(crate) async fn c055_of_two_workers_exactly_one_starts_a_run(lab: &Lab) {
    let (pool, marks) = (lab.pool().await, Marks::new());
    let deployment = pool.command(&marks.command("ran")).await;
    let mut runs = Vec::new();
    for _ in 0..RACED_RUNS {
        runs.push(pool.run(deployment).await);
    }
    let workers = [pool.daemon().spawn(), pool.daemon().spawn()];
    for worker in &workers {
        worker.stdout.wait_for(" started!", lab.patience).await;
    }
    for run in runs {
        lab.reaches(run, StateType::Completed).await;
        let mut history = lab.history(run).await;
        // A server that is busy takes two claims at the same time, and only one of them goes on.
        history.dedup();
        let (executed, after) = history.split_at(5);
        assert_eq!(executed, ["Scheduled", "Pending", "Submitting", "Running", "Completed"]);
        // A server that is slow takes the second claim on a run that is over; its worker puts the state back.
        assert!(after.chunks(2).all(|pair| pair == ["Pending", "Completed"]), "{history:?}");
    }
    assert_eq!(marks.made().len(), RACED_RUNS);
}

/// The server offers runs of a limited queue only as far as it has free slots.
pub(crate) async fn a_queue_limit_of_the_server_is_kept(lab: &Lab) {
    let (pool, marks) = (lab.pool().await, Marks::new());
    lab.api.update_queue(&pool.name, "default", json!({"concurrency_limit": 1})).await;
    let deployment = pool.command(&marks.exclusive_command()).await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(pool.run(deployment).await);
    }
    let _daemon = pool.daemon().started().await;
    for run in runs {
        lab.reaches(run, StateType::Completed).await;
    }
    assert_eq!(marks.made(), ["alone"; 3]);
}

pub(crate) async fn a_daemon_serves_several_pools(lab: &Lab) {
    let (one, two) = (lab.pool().await, lab.pool().await);
    let _daemon = one.daemon().pool(&two.name).started().await;
    let runs = [one.run(one.command("true").await).await, two.run(two.command("true").await).await];
    for run in runs {
        lab.reaches(run, StateType::Completed).await;
    }
}

pub(crate) async fn a_broken_pool_does_not_stop_another(lab: &Lab) {
    let (good, broken) = (lab.pool().await, lab.fresh_name("broken"));
    lab.api.create_pool(&broken, "no-such-kind", serde_json::Map::new()).await;
    let daemon = good.daemon().pool(&broken).started().await;
    lab.reaches(good.run(good.command("true").await).await, StateType::Completed).await;
    daemon.stderr.wait_for("no-such-kind", lab.patience).await;
}

/// A run that the server refuses again and again, at the head of the queue and with one slot, neither keeps the others
/// from running nor makes the worker ask without a pause.
#[tokio::test]
async fn a_refused_run_neither_starves_others_nor_floods_the_api() {
    let it = InMemory::start().await;
    let pool = it.lab.pool().await;
    let refused = pool.run(pool.limited(0, "ENQUEUE", "true").await).await;
    let good = pool.run(pool.command("true").await).await;
    let _daemon = pool.daemon().args(["--limit", "1"]).started().await;
    it.lab.logged(refused, "Aborted submission").await;
    let (begun, before) = (Instant::now(), it.requests("POST", &poll_path(&pool.name)).len());
    it.lab.reaches(good, StateType::Completed).await;
    it.polls(&pool.name, 5).await;
    let polls = it.requests("POST", &poll_path(&pool.name)).len() - before;
    let at_most = 10 + 8 * begun.elapsed().as_secs();
    assert!(u64::try_from(polls).unwrap() <= at_most, "{polls} polls in {:?}", begun.elapsed());
}

on_test_api![
    c042_a_missing_queue_is_an_empty_answer,
    c043_only_the_named_queues_are_polled,
    c044_priority_beats_lateness,
    c046_the_limit_holds_and_a_free_slot_is_used,
    c047_a_slot_is_freed_however_the_submission_ends,
    c048_overlapping_polls_submit_a_run_once,
    c049_a_future_run_is_taken_early_and_starts_on_time,
    a_future_run_beyond_the_prefetch_window_is_left_alone,
    c050_nothing_is_started_from_a_paused_pool_or_queue,
    c055_of_two_workers_exactly_one_starts_a_run,
    a_queue_limit_of_the_server_is_kept,
    a_daemon_serves_several_pools,
    a_broken_pool_does_not_stop_another,
];

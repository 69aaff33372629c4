//! That runs are taken at once, and not at the next interval. The interval is an hour here: what is taken was announced.

use std::time::{Duration, Instant};

use central_api_wire::state::StateType;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use worker_tests::api::store::Tables;
use worker_tests::faults::{Fault, Rule};
use worker_tests::harness::{DaemonSpec, DeploymentSpec, Lab, LabPool, RunSpec, command_variables};

use crate::faults::Between;
use crate::in_memory::{InMemory, poll_path};
use crate::marks::Marks;

const HOUR: &str = "3600";
/// Three full pages of the server.
const MANY: usize = 600;
const MANY_TAKE: Duration = Duration::from_mins(3);

fn seldom(pool: &LabPool) -> DaemonSpec {
    pool.daemon().env("PREFECT_WORKER_QUERY_SECONDS", HOUR)
}

pub(crate) async fn a_created_run_is_taken_without_waiting_for_the_interval(lab: &Lab) {
    let (pool, marks) = (lab.pool().await, Marks::new());
    let deployment = pool.command(&marks.command("started")).await;
    let _daemon = seldom(&pool).started().await;
    for _ in 0..3 {
        lab.reaches(pool.run(deployment).await, StateType::Completed).await;
    }
    assert_eq!(marks.made().len(), 3);
}

pub(crate) async fn a_run_that_is_due_later_is_taken_when_it_is_due(lab: &Lab) {
    let (pool, marks) = (lab.pool().await, Marks::new());
    let deployment = pool.command(&marks.command("started")).await;
    let _daemon = seldom(&pool).args(["--prefetch-seconds", "0"]).started().await;
    // That the stream is open.
    lab.reaches(pool.run(deployment).await, StateType::Completed).await;
    let due = Timestamp::now() + SignedDuration::from_secs(5);
    let run = lab.api.create_run(deployment, RunSpec { due: Some(due), ..RunSpec::default() }).await;
    let claimed = lab.reaches(run, StateType::Completed).await;
    assert!(claimed.timestamp.is_some_and(|at| at >= due), "it was executed before its time");
    assert_eq!(marks.made().len(), 2);
}

pub(crate) async fn a_run_that_is_put_back_is_taken_again(lab: &Lab) {
    let (pool, marks) = (lab.pool().await, Marks::new());
    let _daemon = seldom(&pool).started().await;
    let run = pool.run(pool.command(&marks.command("started")).await).await;
    for times in 1..=2 {
        lab.until(format!("{times} executions"), async || {
            let ended = lab.run(run).await.state_type == Some(StateType::Completed);
            (ended && marks.made().len() == times).then_some(())
        })
        .await;
        let details = json!({"scheduled_time": Timestamp::now().to_string()});
        let again = json!({"type": "SCHEDULED", "name": "AwaitingRetry", "state_details": details});
        lab.api.set_state(run, again, true).await;
    }
    lab.until("the third execution", async || (marks.made().len() == 3).then_some(())).await;
}

/// No event tells of runs that a schedule made, or that were there before the worker.
pub(crate) async fn a_run_that_was_planned_before_is_taken_when_it_is_due(lab: &Lab) {
    let pool = lab.pool().await;
    let due = Timestamp::now() + SignedDuration::from_secs(20);
    let spec = RunSpec { due: Some(due), ..RunSpec::default() };
    let run = lab.api.create_run(pool.command("true").await, spec).await;
    let _daemon = seldom(&pool).args(["--prefetch-seconds", "0"]).started().await;
    let ended = lab.reaches_within(run, StateType::Completed, Duration::from_mins(2)).await;
    assert!(ended.timestamp.is_some_and(|at| at >= due), "it was executed before its time");
}

/// A stream that is open, past its handshake.
async fn stream_is_open(it: &InMemory) {
    let open = |tables: &Tables| {
        tables.sockets().iter().any(|socket| socket.path == "/events/out" && socket.established && socket.open)
    };
    it.wait("a stream of events", |tables| open(tables).then_some(())).await;
}

async fn all_complete(it: &InMemory, runs: usize) {
    let complete = |tables: &Tables| {
        let ended = tables.runs().filter(|run| run.state_type() == Some(&StateType::Completed)).count();
        (ended >= runs).then_some(())
    };
    it.store().wait_until("the end of all runs", MANY_TAKE, complete).await.unwrap();
}

#[tokio::test]
async fn the_deployment_of_an_announced_run_is_read_while_the_poll_is_under_way() {
    let it = InMemory::start().await;
    let (pool, between) = (it.lab.pool().await, Between::new(&it.lab).await);
    let deployment = pool.command("true").await;
    let _daemon = between.daemon(&pool).env("PREFECT_WORKER_QUERY_SECONDS", HOUR).started().await;
    stream_is_open(&it).await;
    // That events come.
    it.lab.reaches(pool.run(deployment).await, StateType::Completed).await;
    let path = format!("/deployments/{deployment}");
    let before = it.requests("GET", &path).len();
    let polls = between.add(Rule::on("**/get_scheduled_flow_runs", Fault::BlackHole));
    let run = pool.run(deployment).await;
    it.requested("GET", &path, before + 1).await;
    between.proxy.lift(polls);
    it.lab.reaches(run, StateType::Completed).await;
}

#[tokio::test]
async fn a_burst_of_events_is_a_few_polls() {
    let it = InMemory::start().await;
    let pool = it.lab.pool().await;
    let deployment = pool.command("true").await;
    let _daemon = seldom(&pool).env("WORKER_ADMISSION_ENABLED", "false").started().await;
    stream_is_open(&it).await;
    let begun = Instant::now();
    for _ in 0..200 {
        pool.run(deployment).await;
    }
    all_complete(&it, 200).await;
    let polls = it.requests("POST", &poll_path(&pool.name)).len();
    let at_most = 10 + 5 * usize::try_from(begun.elapsed().as_secs()).unwrap();
    assert!(polls <= at_most, "{polls} polls in {:?}", begun.elapsed());
}

#[tokio::test]
async fn all_pages_of_due_runs_are_taken_one_after_the_other() {
    let it = InMemory::start().await;
    let pool = it.lab.pool().await;
    let deployment = pool.command("true").await;
    for _ in 0..MANY {
        pool.run(deployment).await;
    }
    let _daemon = seldom(&pool)
        .env("WORKER_START_PICK_UP_EVENTS", "false")
        .env("WORKER_ADMISSION_ENABLED", "false")
        .started()
        .await;
    all_complete(&it, MANY).await;
}

#[tokio::test]
async fn without_the_setting_only_the_interval_counts() {
    let it = InMemory::start().await;
    let (off, on) = (it.lab.pool().await, it.lab.pool().await);
    let (left, taken) = (off.command("true").await, on.command("true").await);
    let _off = seldom(&off).env("WORKER_START_PICK_UP_EVENTS", "false").started().await;
    let _on = seldom(&on).started().await;
    it.polls(&off.name, 0).await;
    let left = off.run(left).await;
    it.lab.reaches(on.run(taken).await, StateType::Completed).await;
    assert_eq!(it.lab.history(left).await, ["Scheduled"]);
}

#[tokio::test]
async fn runs_of_other_queues_bring_about_no_poll() {
    let it = InMemory::start().await;
    let pool = it.lab.pool().await;
    it.lab.api.create_queue(&pool.name, "mine", 5).await;
    let mine = DeploymentSpec {
        queue: Some("mine".to_owned()),
        job_variables: command_variables("true"),
        ..DeploymentSpec::default()
    };
    let (mine, other) = (pool.deployment(mine).await, pool.command("true").await);
    let _daemon = seldom(&pool).args(["-q", "mine"]).started().await;
    it.lab.reaches(pool.run(mine).await, StateType::Completed).await;
    let polls = it.requests("POST", &poll_path(&pool.name)).len();
    for _ in 0..5 {
        pool.run(other).await;
    }
    it.lab.reaches(pool.run(mine).await, StateType::Completed).await;
    // The one for the last run, and one that was asked for again because the run was not there yet.
    let since = it.requests("POST", &poll_path(&pool.name)).len() - polls;
    assert!(since <= 2, "{since} polls");
}

#[tokio::test]
async fn a_run_that_no_slot_is_free_for_is_taken_when_one_is() {
    let it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let deployment = pool.command(&marks.exclusive_command()).await;
    let _daemon = seldom(&pool).args(["--limit", "1"]).started().await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(pool.run(deployment).await);
    }
    for run in runs {
        it.lab.reaches(run, StateType::Completed).await;
    }
    assert_eq!(marks.made(), ["alone"; 3]);
}

/// Where nothing happens there is a poll at each interval and nothing else, as without events.
#[tokio::test]
async fn an_idle_worker_asks_for_nothing_but_due_runs() {
    let it = InMemory::start().await;
    let pool = it.lab.pool().await;
    let _daemon = pool.daemon().started().await;
    it.channel_is_open(&pool.name).await;
    stream_is_open(&it).await;
    it.polls(&pool.name, 2).await;
    let before = it.store().read(|tables| tables.requests().len());
    it.polls(&pool.name, 20).await;
    let (since, connections) = it.store().read(|tables| {
        let paths: Vec<String> = tables.requests().iter().skip(before).map(|request| request.path.clone()).collect();
        (paths, tables.connections())
    });
    let others: Vec<&String> = since.iter().filter(|path| **path != poll_path(&pool.name)).collect();
    assert!(others.is_empty(), "{others:?}");
    // Calls, the stream, the channel and what the test itself has.
    assert!(connections.open <= 8, "{connections:?}");
}

on_test_api![
    a_created_run_is_taken_without_waiting_for_the_interval,
    a_run_that_is_due_later_is_taken_when_it_is_due,
    a_run_that_is_put_back_is_taken_again,
    a_run_that_was_planned_before_is_taken_when_it_is_due,
];

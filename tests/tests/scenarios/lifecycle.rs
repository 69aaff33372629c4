//! Start, sync, worker channel, stop.

use std::time::Instant;

use central_api_wire::state::StateType;
use rustix::process::Signal;
use serde_json::{Map, json};
use worker_tests::api::store::Tables;
use worker_tests::harness::{Daemon, DaemonSpec, Lab, SOON, process_template};

use crate::in_memory::{InMemory, PROMPT, channel_path, heartbeat_path, poll_path};
use crate::marks::Marks;

#[tokio::test]
async fn c001_without_an_api_address_the_worker_refuses_to_start() {
    let ended = DaemonSpec::bare().args(["start", "--pool", "any"]).finish().await;
    assert!(!ended.status.success());
    assert!(ended.stderr.contains("PREFECT_API_URL"), "{}", ended.stderr);
    assert!(!ended.stdout.contains("started!"));
}

#[tokio::test]
async fn a_daemon_that_comes_back_has_the_name_that_it_had() {
    let it = InMemory::start().await;
    let (pool, other) = (it.lab.pool().await, it.lab.pool().await);
    let both = || pool.daemon().pool(&other.name);
    let name_of = async |daemon: &Daemon| daemon.stdout.wait_for(" started!", SOON).await;
    let first = both().spawn();
    let before = name_of(&first).await;
    assert!(before.starts_with("Worker 'ProcessWorker daemon-1-"), "{before}");
    let again = both().spawn_in(first.kill().await);
    assert_eq!(name_of(&again).await, before);
    let beside = both().spawn();
    assert_ne!(name_of(&beside).await, before, "another one is taken for the same");
    for at in [&pool.name, &other.name] {
        it.lab.until("two workers", async || (it.lab.api.workers(at).await.len() == 2).then_some(())).await;
    }
}

pub(crate) async fn c014_a_missing_pool_is_created_with_type_and_template(lab: &Lab) {
    let name = lab.fresh_name("made-by-the-worker");
    let _daemon = lab.daemon().pool(&name).args(["--type", "process"]).started().await;
    let pool = lab.until("the pool", async || lab.api.pool(&name).await).await;
    assert_eq!(pool.pool_type, "process");
    lab.until("its template", async || {
        let pool = lab.api.pool(&name).await?;
        pool.base_job_template.get("job_configuration")?.get("command").cloned()
    })
    .await;
    let pool = lab.pool_named(&name).await;
    lab.reaches(pool.run(pool.command("true").await).await, StateType::Completed).await;
}

pub(crate) async fn a_missing_pool_is_created_with_the_template_that_was_given(lab: &Lab) {
    let name = lab.fresh_name("made-with-a-template");
    let folder = tempfile::tempdir().unwrap();
    let mut template = process_template();
    template["variables"]["properties"]["command"]["default"] = json!("echo given");
    let file = folder.path().join("template.json");
    fs_err::write(&file, serde_json::to_vec(&template).unwrap()).unwrap();
    let daemon = lab.daemon().pool(&name).args(["--type", "process", "--base-job-template"]).arg(&file);
    let _daemon = daemon.started().await;
    lab.until("the pool", async || lab.api.pool(&name).await.filter(|pool| pool.base_job_template == template)).await;
}

#[tokio::test]
async fn c015_without_leave_to_create_the_pool_the_worker_waits_for_it() {
    let it = InMemory::start().await;
    let mut daemon = it.lab.daemon().pool("later").arg("--no-create-pool-if-not-found").started().await;
    daemon.stderr.wait_for("Work pool 'later' not found!", SOON).await;
    let reads = it.requests("GET", "/work_pools/later").len();
    it.requested("GET", "/work_pools/later", reads + 2).await;
    assert_eq!(it.requests("POST", "/work_pools/").len(), 0, "it created the pool");
    assert_eq!(it.requests("POST", &poll_path("later")).len(), 0, "it polled");
    assert_eq!(it.requests("POST", &heartbeat_path("later")).len(), 0, "it sent heartbeats");
    assert!(daemon.is_running());

    it.lab.api.create_pool("later", "process", process_template()).await;
    let pool = it.lab.pool_named("later").await;
    it.lab.reaches(pool.run(pool.command("true").await).await, StateType::Completed).await;
}

pub(crate) async fn c017_an_empty_template_is_filled_and_another_is_left_alone(lab: &Lab) {
    let empty = lab.pool_with(Map::new()).await;
    let mut template = process_template();
    template["variables"]["properties"]["env"]["default"] = json!({"OWN": "1"});
    let own = lab.pool_with(template.clone()).await;
    let _daemon = empty.daemon().pool(&own.name).started().await;
    lab.until("the template", async || {
        lab.api.pool(&empty.name).await?.base_job_template.get("job_configuration")?.get("command").cloned()
    })
    .await;
    own.polled("default", 2).await;
    assert_eq!(lab.api.pool(&own.name).await.unwrap().base_job_template, template);
}

pub(crate) async fn c018_a_pool_of_another_type_is_warned_about_and_served(lab: &Lab) {
    let name = lab.fresh_name("other-type");
    lab.api.create_pool(&name, "docker", process_template()).await;
    let daemon = lab.daemon().pool(&name).args(["--type", "process"]).started().await;
    daemon.stderr.wait_for("Worker type mismatch!", lab.patience).await;
    let pool = lab.pool_named(&name).await;
    lab.reaches(pool.run(pool.command("true").await).await, StateType::Completed).await;
}

#[tokio::test]
async fn c019_a_heartbeat_tells_name_and_whole_seconds() {
    let it = InMemory::over_rest().await;
    let pool = it.lab.pool().await;
    let _daemon = pool.daemon().name("beating").env("PREFECT_WORKER_HEARTBEAT_SECONDS", "1.9").started().await;
    let path = heartbeat_path(&pool.name);
    it.requested("POST", &path, 2).await;
    for heartbeat in it.requests("POST", &path) {
        assert_eq!(heartbeat.body, json!({"name": "beating", "heartbeat_interval_seconds": 1}));
        assert_eq!(heartbeat.status.unwrap_or(204), 204);
    }
    assert_eq!(it.lab.api.workers(&pool.name).await, ["beating"]);
}

/// The test API is as strict as a real server: a socket without the sub-protocol, a first frame that is not `auth`, a
/// greeting with an unknown field or without the required capabilities is refused.
#[tokio::test]
async fn c024_the_channel_is_greeted_in_the_right_order_and_in_time() {
    let it = InMemory::start().await;
    let pool = it.lab.pool().await;
    let begun = Instant::now();
    let _daemon = pool.daemon().started().await;
    it.channel_is_open(&pool.name).await;
    assert!(begun.elapsed().as_secs() < 10);
    let path = channel_path(&pool.name);
    let sockets = it.store().read(|tables| tables.sockets().to_vec());
    let channels: Vec<_> = sockets.iter().filter(|socket| socket.path == path).collect();
    assert_eq!(channels.len(), 1, "it took more than one try");
    assert!(channels[0].offered_subprotocol);
    assert!(channels[0].user_agent.starts_with("prefect/3."), "{}", channels[0].user_agent);
}

#[tokio::test]
async fn c025_while_the_channel_is_healthy_heartbeats_go_over_it_only() {
    let it = InMemory::start().await;
    let pool = it.lab.pool().await;
    let _daemon = pool.daemon().started().await;
    it.channel_is_open(&pool.name).await;
    let rest = it.requests("POST", &heartbeat_path(&pool.name)).len();
    let beats = |tables: &Tables| tables.workers_of(&pool.name).unwrap().next().map_or(0, |it| it.channel_heartbeats);
    it.wait("three heartbeats on the channel", |tables| (beats(tables) >= 3).then_some(())).await;
    assert_eq!(it.requests("POST", &heartbeat_path(&pool.name)).len(), rest);
}

#[tokio::test]
async fn c027_a_terminal_close_ends_the_channel_for_good_and_another_does_not() {
    for (code, reason, is_terminal) in [
        (1008, "authorization_failed", true),
        (1002, "protocol_error", true),
        (1011, "transient_server_error", false),
        (1012, "", false),
    ] {
        let it = InMemory::start().await;
        let pool = it.lab.pool().await;
        let _daemon = pool.daemon().started().await;
        it.channel_is_open(&pool.name).await;
        assert_eq!(it.api.close_sockets(&channel_path(&pool.name), code, reason), 1);
        // Over REST meanwhile, or from now on.
        it.requested("POST", &heartbeat_path(&pool.name), 1).await;
        let opened =
            |tables: &Tables| tables.sockets().iter().filter(|socket| socket.path == channel_path(&pool.name)).count();
        if is_terminal {
            it.requested("POST", &heartbeat_path(&pool.name), 3).await;
            assert_eq!(it.store().read(opened), 1, "{code} {reason}: the channel was opened again");
        } else {
            it.wait("another channel", |tables| (opened(tables) >= 2).then_some(())).await;
            it.channel_is_open(&pool.name).await;
        }
    }
}

#[tokio::test]
async fn a_server_without_a_channel_is_served_over_rest() {
    let it = InMemory::of_version(3, 0, 11).await;
    let pool = it.lab.pool().await;
    let _daemon = pool.daemon().started().await;
    it.requested("POST", &heartbeat_path(&pool.name), 3).await;
    it.lab.reaches(pool.run(pool.command("true").await).await, StateType::Completed).await;
}

pub(crate) async fn c036_started_and_stopped_events_name_worker_and_pool(lab: &Lab) {
    let pool = lab.pool().await;
    let name = lab.fresh_name("Event Worker");
    let mut daemon = pool.daemon().name(&name).started().await;
    let resource = format!("prefect.worker.process.{}", name.to_lowercase().replace(' ', "-"));
    let event = async |which: &str| {
        lab.until(format!("the {which} event"), async || lab.api.events(which, &resource).await.pop()).await
    };
    let started = event("prefect.worker.started").await;
    assert!(daemon.stop().await.success());
    let stopped = event("prefect.worker.stopped").await;
    let pool_id = lab.api.pool(&pool.name).await.unwrap().id;
    assert_eq!(stopped.related[0]["prefect.resource.id"], format!("prefect.work-pool.{pool_id}"));
    assert_eq!(stopped.follows, Some(started.id));
    for event in [started, stopped] {
        assert_eq!(event.resource["prefect.resource.name"], name);
        assert_eq!(event.resource["prefect.worker-type"], "process");
    }
}

#[tokio::test]
async fn c037_the_first_signal_stops_polling_and_ends_the_worker_promptly() {
    for signal in [Signal::TERM, Signal::INT] {
        let it = InMemory::start().await;
        let pool = it.lab.pool().await;
        let mut daemon = pool.daemon().started().await;
        it.polls(&pool.name, 1).await;
        let begun = Instant::now();
        daemon.signal(signal);
        daemon.stderr.wait_for("Received SIG", SOON).await;
        let polls = it.requests("POST", &poll_path(&pool.name)).len();
        assert!(daemon.exited(PROMPT).await.success(), "{signal:?}");
        assert!(begun.elapsed() < PROMPT);
        assert!(daemon.stdout.has(" stopped!"));
        assert!(it.requests("POST", &poll_path(&pool.name)).len() <= polls + 1, "it went on polling");
    }
}

#[tokio::test]
async fn c037_a_second_signal_takes_the_grace_away() {
    let it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let stubborn = marks.shell("trap '' TERM; echo started >> marks; while :; do sleep 0.1; done");
    let run = pool.run(pool.command(&stubborn).await).await;
    let mut daemon = pool
        .daemon()
        .env("WORKER_SHUTDOWN_GRACE_SECONDS", "600")
        .env("WORKER_PROCESS_KILL_GRACE_SECONDS", "600")
        .started()
        .await;
    it.lab.reaches(run, StateType::Running).await;
    marks.count(1).await;
    daemon.signal(Signal::TERM);
    daemon.stderr.wait_for("Received SIGTERM", SOON).await;
    daemon.signal(Signal::TERM);
    daemon.exited(SOON).await;
}

#[tokio::test]
async fn c038_run_once_syncs_once_polls_once_and_waits_for_its_runs() {
    let it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let deployment = pool.command(&marks.shell("sleep 0.5; echo ran >> marks")).await;
    let runs = [pool.run(deployment).await, pool.run(deployment).await];
    let ended = pool.daemon().arg("--run-once").finish().await;
    assert!(ended.status.success(), "{}", ended.stderr);
    for run in runs {
        assert_eq!(it.lab.history(run).await.last().unwrap(), "Completed");
    }
    assert_eq!(it.requests("POST", &poll_path(&pool.name)).len(), 1);
    assert_eq!(marks.made().len(), 2);
    assert!(ended.stdout.contains(" started!") && ended.stdout.contains(" stopped!"), "{}", ended.stdout);
}

#[tokio::test]
async fn c039_names_with_a_slash_or_a_percent_sign_are_refused() {
    let it = InMemory::start().await;
    for (flag, name) in [("--name", "a/b"), ("--name", "a%b"), ("--pool", "a/b"), ("--pool", "a%b")] {
        let ended = it.lab.daemon().args(["--pool", "p", flag, name]).finish().await;
        assert!(!ended.status.success(), "{flag} {name}");
        assert!(ended.stderr.contains(name), "{}", ended.stderr);
    }
    assert_eq!(it.store().read(|tables| tables.requests().len()), 0, "it asked the API before it checked the names");
}

/// Restarts of the API are ridden out: the same worker goes on with the same pools and runs.
#[tokio::test]
async fn a_restarted_api_finds_its_worker_again() {
    let mut it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let run = pool.run(pool.command(&marks.held_command(0)).await).await;
    let mut daemon = pool.daemon().started().await;
    it.lab.reaches(run, StateType::Running).await;
    it.api.stop().await;
    daemon.stderr.wait_for("cannot ask the API for due runs", SOON).await;
    marks.release();
    it.api.restart().await.unwrap();
    it.lab.reaches(run, StateType::Completed).await;
    it.lab.reaches(pool.run(pool.command("true").await).await, StateType::Completed).await;
    assert!(daemon.is_running());
}

on_test_api![
    c014_a_missing_pool_is_created_with_type_and_template,
    a_missing_pool_is_created_with_the_template_that_was_given,
    c017_an_empty_template_is_filled_and_another_is_left_alone,
    c018_a_pool_of_another_type_is_warned_about_and_served,
    c036_started_and_stopped_events_name_worker_and_pool,
];

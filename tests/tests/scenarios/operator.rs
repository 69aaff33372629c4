//! The commands that talk to a running worker, and the signal that makes it read its settings again.

use central_api_wire::state::StateType;
use jiff::{Timestamp, ToSpan};
use rustix::process::Signal;
use serde_json::{Value, json};
use worker_core::ids::RunId;
use worker_tests::harness::{Daemon, DaemonSpec, Finished, RunSpec, SOON, process_template, until};

use crate::in_memory::InMemory;
use crate::marks::Marks;

/// `worker …`, as typed by the user of a daemon.
fn command(daemon: &Daemon, args: &[&str]) -> DaemonSpec {
    DaemonSpec::bare().args(args).env("WORKER_STATE_DIR", daemon.path("state"))
}

pub(crate) async fn typed(daemon: &Daemon, args: &[&str]) -> Finished {
    command(daemon, args).finish().await
}

pub(crate) async fn answer(daemon: &Daemon, args: &[&str]) -> Value {
    let ended = typed(daemon, &[args, &["--json"]].concat()).await;
    assert!(ended.status.success(), "{args:?}: {}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

#[tokio::test]
async fn status_runs_and_why_tell_what_a_worker_does() {
    let it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let daemon = pool.daemon().name("desk").arg("--limit").arg("3").started().await;
    let run = pool.run(pool.command(&marks.held_command(0)).await).await;
    it.lab.reaches(run, StateType::Running).await;

    let status = answer(&daemon, &["status"]).await;
    let (one, served) = (&status[0], &status[0]["pools"][0]);
    assert_eq!((&one["daemon"], &one["state"], &one["live"]), (&"daemon-1".into(), &"serving".into(), &1.into()));
    assert_eq!(one["pid"], daemon.pid);
    assert_eq!((&served["name"], &served["worker"]), (&pool.name.as_str().into(), &"desk".into()));
    assert_eq!((&served["live"], &served["limit"], &served["health"]), (&1.into(), &3.into(), &"ok".into()));

    let runs = answer(&daemon, &["runs"]).await;
    assert_eq!((&runs[0]["id"], &runs[0]["pool"]), (&run.to_string().into(), &pool.name.as_str().into()));
    until(SOON, "the stage", async || (answer(&daemon, &["runs"]).await[0]["stage"] == "running").then_some(())).await;

    let id = run.to_string();
    let (short, _) = id.split_once('-').unwrap();
    let live = typed(&daemon, &["why", short]).await;
    assert!(live.stdout.contains("Executed by daemon-1: running as "), "{}", live.stdout);
    assert!(live.stdout.contains("claimed: the server made it Pending"), "{}", live.stdout);
    marks.release();
    it.lab.reaches(run, StateType::Completed).await;
    until(SOON, "the end of the run", async || {
        (answer(&daemon, &["runs"]).await == Value::Array(vec![])).then_some(())
    })
    .await;

    // What was decided outlives the process that decided it.
    let home = daemon.kill().await;
    let daemon = pool.daemon().spawn_in(home);
    daemon.stdout.wait_for(" started!", SOON).await;
    let over = typed(&daemon, &["why", short]).await;
    assert!(over.stdout.contains("The API has it as Completed"), "{}", over.stdout);
    assert!(over.stdout.contains("its infrastructure ended"), "{}", over.stdout);
}

#[tokio::test]
async fn why_explains_a_run_that_is_not_taken() {
    let it = InMemory::start().await;
    let (pool, other) = (it.lab.pool().await, it.lab.pool().await);
    let daemon = pool.daemon().started().await;
    let why = async |run: String| typed(&daemon, &["why", &run]).await;

    let later = RunSpec { due: Some(Timestamp::now() + 2.hours()), ..RunSpec::default() };
    let run = it.lab.api.create_run(pool.command("true").await, later).await;
    let told = why(run.to_string()).await.stdout;
    assert!(told.contains("It is due in 1h59m"), "{told}");

    let elsewhere = other.run(other.command("true").await).await;
    let told = why(elsewhere.to_string()).await.stdout;
    assert!(told.contains(&format!("does not serve its work pool '{}'", other.name)), "{told}");

    let unknown = why("no-such-run".to_owned()).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(unknown.stderr.contains("no run that was seen here begins with 'no-such-run'"), "{}", unknown.stderr);
}

#[tokio::test]
async fn a_run_is_cancelled_by_its_worker_as_by_a_user() {
    let it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let run = pool.run(pool.command(&marks.endless_command()).await).await;
    let daemon = pool.daemon().started().await;
    it.lab.reaches(run, StateType::Running).await;
    let ended = typed(&daemon, &["cancel", &run.to_string()]).await;
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(ended.stdout.contains("the API has it as Cancelling; daemon-1 is stopping it"), "{}", ended.stdout);
    it.lab.reaches(run, StateType::Cancelled).await;
    assert_eq!(it.lab.history(run).await[3..], ["Running", "Cancelling", "Cancelled"]);
}

/// Two runs whose ids begin with the same character, each executed by a worker of its own.
#[tokio::test]
async fn a_beginning_that_a_run_of_each_worker_has_cancels_neither() {
    let it = InMemory::start().await;
    let (first, second, marks) = (it.lab.pool().await, it.lab.pool().await, Marks::new());
    let (one, other) = (first.command(&marks.endless_command()).await, second.command(&marks.endless_command()).await);
    let later = || RunSpec { due: Some(Timestamp::now() + 2.hours()), ..RunSpec::default() };
    let beginning = |run: &RunId| run.to_string().chars().take(1).collect::<String>();
    let mut ours = Vec::new();
    let (run, twin) = loop {
        ours.push(it.lab.api.create_run(one, later()).await);
        let theirs = it.lab.api.create_run(other, later()).await;
        if let Some(run) = ours.iter().find(|run| beginning(run) == beginning(&theirs)) {
            break (*run, theirs);
        }
    };
    let due_now = json!({
        "type": "SCHEDULED", "name": "Scheduled", "state_details": {"scheduled_time": Timestamp::now()},
    });
    for run in [run, twin] {
        it.lab.api.set_state(run, due_now.clone(), true).await;
    }
    let daemon = first.daemon().started().await;
    let _other = second.daemon().env("WORKER_STATE_DIR", daemon.path("state")).started().await;
    for run in [run, twin] {
        it.lab.reaches(run, StateType::Running).await;
    }
    for command in ["cancel", "why"] {
        let refused = typed(&daemon, &[command, &beginning(&run)]).await;
        assert_eq!(refused.status.code(), Some(1), "{command}: {}", refused.stdout);
        assert!(refused.stderr.contains("several runs begin with"), "{command}: {}", refused.stderr);
    }
    assert_eq!(typed(&daemon, &["cancel", ""]).await.status.code(), Some(2));
    let ended = typed(&daemon, &["cancel", &twin.to_string()]).await;
    assert!(ended.stdout.contains("daemon-2 is stopping it"), "{}{}", ended.stdout, ended.stderr);
    it.lab.reaches(twin, StateType::Cancelled).await;
    assert_eq!(it.lab.run(run).await.state_type, Some(StateType::Running));
}

/// Memory that others use up is no reason to execute nothing for ever, only not to execute more.
#[tokio::test]
async fn a_run_that_the_machine_cannot_bear_is_shown_with_the_reason() {
    let it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let daemon = pool.daemon().env("WORKER_ADMISSION_MAX_MEMORY_PERCENT", "1").started().await;
    let deployment = pool.command(&marks.held_command(0)).await;
    let first = pool.run(deployment).await;
    it.lab.reaches(first, StateType::Running).await;
    let held = pool.run(deployment).await;
    let hold = async || answer(&daemon, &["status"]).await[0]["pools"][0]["hold"].as_str().map(str::to_owned);
    let reason = until(SOON, "a hold", hold).await;
    assert_eq!(reason, "memory");
    // It is known from this worker's own notes only, which no capitals hide.
    let beginning: String = held.to_string().to_uppercase().chars().take(13).collect();
    let told = typed(&daemon, &["why", &beginning]).await;
    assert!(told.stdout.contains("wait here: this machine is short of memory"), "{}{}", told.stdout, told.stderr);
    assert!(!told.stdout.contains("Nothing visible"), "{}", told.stdout);
    marks.release();
    for run in [first, held] {
        it.lab.reaches(run, StateType::Completed).await;
    }
    until(SOON, "no hold", async || hold().await.is_none().then_some(())).await;
}

#[tokio::test]
async fn a_run_is_cancelled_while_the_api_is_away() {
    let mut it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let run = pool.run(pool.command(&marks.endless_command()).await).await;
    let daemon = pool.daemon().started().await;
    it.lab.reaches(run, StateType::Running).await;
    marks.count(1).await;
    it.api.stop().await;
    let ended = typed(&daemon, &["cancel", &run.to_string()]).await;
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(ended.stdout.contains("follows when the API is back"), "{}", ended.stdout);
    let reporting = async || (answer(&daemon, &["runs"]).await[0]["stage"] == "reporting").then_some(());
    until(SOON, "the end of its infrastructure", reporting).await;
    it.api.restart().await.unwrap();
    it.lab.reaches(run, StateType::Cancelled).await;
}

#[tokio::test]
async fn a_run_that_no_worker_has_taken_is_cancelled_at_the_api() {
    let it = InMemory::start().await;
    let pool = it.lab.pool().await;
    let daemon = pool.daemon().started().await;
    let later = RunSpec { due: Some(Timestamp::now() + 2.hours()), ..RunSpec::default() };
    let run = it.lab.api.create_run(pool.command("true").await, later).await;
    let ended = typed(&daemon, &["cancel", &run.to_string()]).await;
    assert!(ended.status.success(), "{}", ended.stderr);
    it.lab.reaches(run, StateType::Cancelled).await;
}

#[tokio::test]
async fn a_cordon_survives_a_killed_worker() {
    let it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let daemon = pool.daemon().started().await;
    let cordoned = typed(&daemon, &["cordon"]).await;
    assert!(cordoned.stdout.contains("daemon-1 takes no new runs from now on"), "{}", cordoned.stdout);
    let daemon = pool.daemon().spawn_in(daemon.kill().await);
    daemon.stdout.wait_for(" started!", SOON).await;
    assert_eq!(answer(&daemon, &["status"]).await[0]["state"], "cordoned");
    let run = pool.run(pool.command(&marks.command("ran")).await).await;
    let why = typed(&daemon, &["why", &run.to_string()]).await;
    assert!(why.stdout.contains("This worker is cordoned"), "{}", why.stdout);
    assert_eq!((marks.made().len(), it.lab.history(run).await), (0, vec!["Scheduled".to_owned()]));
    assert!(typed(&daemon, &["uncordon"]).await.status.success());
    it.lab.reaches(run, StateType::Completed).await;
}

#[tokio::test]
async fn a_drain_waits_for_the_runs_and_ends_the_worker() {
    let it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let deployment = pool.command(&marks.held_command(0)).await;
    let run = pool.run(deployment).await;
    let mut daemon = pool.daemon().env("WORKER_SHUTDOWN_DRAIN_TIMEOUT_SECONDS", "0").started().await;
    it.lab.reaches(run, StateType::Running).await;
    let mut drain = command(&daemon, &["drain"]).spawn();
    drain.stdout.wait_for("takes no more runs, 1 runs are left", SOON).await;
    until(SOON, "a worker that drains", async || {
        (answer(&daemon, &["status"]).await[0]["state"] == "draining").then_some(())
    })
    .await;
    let late = pool.run(deployment).await;
    assert!(drain.is_running() && daemon.is_running());
    marks.release();
    assert_eq!(drain.exited(SOON).await.code(), Some(0));
    assert_eq!(daemon.exited(SOON).await.code(), Some(0));
    it.lab.reaches(run, StateType::Completed).await;
    assert_eq!(it.lab.history(late).await, ["Scheduled"]);
}

#[tokio::test]
async fn a_drain_whose_time_is_over_stops_the_runs_and_says_so() {
    let it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let run = pool.run(pool.command(&marks.endless_command()).await).await;
    let mut daemon = pool.daemon().started().await;
    it.lab.reaches(run, StateType::Running).await;
    let drained = typed(&daemon, &["drain", "--timeout", "0.1"]).await;
    assert_eq!(drained.status.code(), Some(1), "{}", drained.stdout);
    assert!(drained.stdout.contains("runs that were left were stopped"), "{}", drained.stdout);
    assert_eq!(daemon.exited(SOON).await.code(), Some(3));
    it.lab.reaches(run, StateType::Crashed).await;
}

/// A service manager that stops the unit during a drain kills no run that could go on.
#[tokio::test]
async fn a_signal_during_a_drain_does_what_a_first_signal_does() {
    let it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let run = pool.run(pool.command(&marks.held_command(0)).await).await;
    let mut daemon = pool.daemon().env("WORKER_SHUTDOWN_RUNS", "leave").started().await;
    it.lab.reaches(run, StateType::Running).await;
    assert!(typed(&daemon, &["drain", "--no-wait"]).await.status.success());
    daemon.stderr.wait_for("for as long as they take", SOON).await;
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.exited(SOON).await.code(), Some(0));
    let daemon = pool.daemon().spawn_in(daemon.kill().await);
    daemon.stdout.wait_for(" started!", SOON).await;
    assert_eq!(answer(&daemon, &["runs"]).await[0]["adopted"], true);
    marks.release();
    it.lab.reaches(run, StateType::Completed).await;
    assert_eq!(marks.made(), ["started"]);
}

#[tokio::test]
async fn without_a_worker_the_commands_say_where_they_looked() {
    let nowhere = tempfile::tempdir().unwrap();
    let directory = nowhere.path().join("state");
    for command in [&["status"][..], &["why", "x"], &["drain"], &["cordon"]] {
        let ended = DaemonSpec::bare().args(command).arg("--state-dir").arg(&directory).finish().await;
        assert_eq!(ended.status.code(), Some(1), "{command:?}");
        let path = directory.display().to_string();
        assert!(ended.stderr.contains(&path) && ended.stderr.contains("worker start"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn several_workers_are_shown_and_told_together_or_one_by_one() {
    let it = InMemory::start().await;
    let (first, second) = (it.lab.pool().await, it.lab.pool().await);
    let daemon = first.daemon().started().await;
    let _other = second.daemon().env("WORKER_STATE_DIR", daemon.path("state")).started().await;
    let states = async || {
        let status = answer(&daemon, &["status"]).await;
        status.as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(typed(&daemon, &["cordon", "--daemon", "daemon-2"]).await.status.success());
    assert_eq!(states().await, ["serving", "cordoned"]);
    assert!(typed(&daemon, &["cordon"]).await.status.success());
    assert_eq!(states().await, ["cordoned", "cordoned"]);
    let none = typed(&daemon, &["cordon", "--daemon", "daemon-7"]).await;
    assert!(none.status.code() == Some(1) && none.stderr.contains("daemon-7"), "{}", none.stderr);
}

#[tokio::test]
async fn a_hangup_reads_the_settings_again() {
    let it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let file = marks.path("worker.toml");
    fs_err::write(&file, "[start]\nlimit = 1\n").unwrap();
    let mut daemon = pool.daemon().arg("--config").arg(&file).started().await;
    let deployment = pool.command(&marks.held_command(0)).await;
    for _ in 0..2 {
        pool.run(deployment).await;
    }
    marks.count(1).await;

    fs_err::write(&file, "[start]\nlimit = \"many\"\n").unwrap();
    daemon.signal(Signal::HUP);
    daemon.stderr.wait_for("the settings have errors, so all stays as it is", SOON).await;
    assert_eq!(answer(&daemon, &["status"]).await[0]["pools"][0]["limit"], 1);

    fs_err::write(&file, "[start]\nlimit = 2\n[docker]\ncleanup = \"keep\"\n[log]\nlevel = \"debug\"\n").unwrap();
    daemon.signal(Signal::HUP);
    daemon.stderr.wait_for("start.limit is 2 (was 1)", SOON).await;
    daemon.stderr.wait_for("only after a restart these settings take effect: docker.cleanup", SOON).await;
    daemon.stderr.wait_for("DEBUG", SOON).await;
    marks.count(2).await;
    assert!(daemon.is_running());
}

/// A client that connects and says nothing is nobody's business but its own.
#[tokio::test]
async fn a_client_that_hangs_holds_up_nobody() {
    let it = InMemory::start().await;
    let pool = it.lab.pool().await;
    let mut daemon = pool.daemon().started().await;
    let path = daemon.path("state/daemon-1/control.sock");
    let _hangs = tokio::net::UnixStream::connect(&path).await.unwrap();
    assert!(typed(&daemon, &["status"]).await.status.success());
    assert!(daemon.stop().await.success());
    assert!(!path.exists(), "the socket stays behind");
}

#[tokio::test]
async fn a_paused_pool_is_the_reason_that_is_told() {
    let it = InMemory::start().await;
    let name = it.lab.fresh_name("paused");
    it.lab.api.create_pool(&name, "process", process_template()).await;
    let pool = it.lab.pool_named(&name).await;
    it.lab.api.update_pool(&name, json!({"is_paused": true})).await;
    let daemon = pool.daemon().started().await;
    let run = pool.run(pool.command("true").await).await;
    let told = typed(&daemon, &["why", &run.to_string()]).await.stdout;
    assert!(told.contains(&format!("The work pool '{name}' is paused")), "{told}");
}

//! What a worker that was killed, an API that was away, or infrastructure that failed a run leave behind: nothing.

use central_api_wire::state::StateType;
use rustix::process::Signal;
use serde_json::Value;
use worker_core::ids::RunId;
use worker_tests::faults::{Fault, Rule};
use worker_tests::harness::{Lab, SOON};

use crate::faults::Between;
use crate::in_memory::InMemory;
use crate::marks::Marks;

/// The labels of a run.
async fn label(lab: &Lab, run: RunId, name: &str) -> Option<Value> {
    lab.run(run).await.labels.and_then(|labels| labels.get(name).cloned())
}

#[tokio::test]
async fn what_a_run_did_while_worker_and_api_were_away_is_told_when_they_are_back() {
    let it = InMemory::start().await;
    let (pool, between, marks) = (it.lab.pool().await, Between::new(&it.lab).await, Marks::new());
    let run = pool.run(pool.command(&marks.held_command(3)).await).await;
    let daemon = || between.daemon(&pool).args(["--name", "steady", "--wait-for-api"]);
    let first = daemon().started().await;
    it.lab.reaches(run, StateType::Running).await;
    marks.count(1).await;
    let away = between.add(Rule::on("**", Fault::Reset));
    let home = first.kill().await;
    marks.release();
    let second = daemon().spawn_in(home);
    between.acted(away, 5).await;
    assert_eq!(it.lab.run(run).await.state_type, Some(StateType::Running), "nobody could tell the API");
    between.proxy.lift(away);
    let state = it.lab.reaches(run, StateType::Failed).await;
    assert!(state.message.unwrap().contains("status code: 3"));
    it.lab.executed(run).await;
    it.lab.logged(run, "failed: Process exited with status code: 3").await;
    assert!(it.lab.run(run).await.infrastructure_pid.is_some());
    assert_eq!(it.lab.history(run).await, ["Scheduled", "Pending", "Submitting", "Running", "Failed"]);
    assert_eq!(marks.made(), ["started"]);
    drop(second);
}

/// A run that executes is found again by its folder, and reported as it would have been.
#[tokio::test]
async fn a_damaged_journal_loses_no_run_that_executes() {
    let it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let run = pool.run(pool.command(&marks.held_command(0)).await).await;
    let first = pool.daemon().started().await;
    it.lab.reaches(run, StateType::Running).await;
    marks.count(1).await;
    let home = first.kill().await;
    let folder = home.path().join("state/daemon-1");
    fs_err::write(folder.join("journal.redb"), b"this is no journal").unwrap();
    let second = pool.daemon().spawn_in(home);
    second.stderr.wait_for("is damaged", SOON).await;
    second.stderr.wait_for("it is taken over", SOON).await;
    marks.release();
    it.lab.reaches(run, StateType::Completed).await;
    assert_eq!(marks.made(), ["started"]);
    assert!(
        fs_err::read_dir(&folder)
            .unwrap()
            .any(|entry| { entry.unwrap().file_name().to_string_lossy().starts_with("journal-damaged-") })
    );
}

#[tokio::test]
async fn log_lines_of_an_outage_outlive_the_worker() {
    let it = InMemory::start().await;
    let (pool, between, marks) = (it.lab.pool().await, Between::new(&it.lab).await, Marks::new());
    let run = pool.run(pool.engine(&marks.held_command(3)).await).await;
    let daemon = || between.daemon(&pool).args(["--name", "steady"]);
    let first = daemon().started().await;
    marks.count(1).await;
    let away = between.add(Rule::on("/api/logs/**", Fault::status(503)));
    marks.release();
    it.lab.reaches(run, StateType::Crashed).await;
    between.acted(away, 2).await;
    let home = first.kill().await;
    between.proxy.lift(away);
    let _second = daemon().spawn_in(home);
    it.lab.logged(run, "as crashed: Process exited with status code: 3").await;
}

#[tokio::test]
async fn a_run_that_its_infrastructure_failed_is_executed_again_as_often_as_the_pool_allows() {
    let it = InMemory::start().await;
    let pool = it.lab.pool().await;
    let run = pool.run(pool.engine("/does/not/exist").await).await;
    let daemon = pool.daemon().env("WORKER_START_RERUN_ON", "submit_failed,oom").env("WORKER_START_RERUN_MAX", "2");
    let _daemon = daemon.started().await;
    it.lab.reaches(run, StateType::Crashed).await;
    let history = it.lab.history(run).await;
    let times = |name: &str| history.iter().filter(|known| *known == name).count();
    assert_eq!((times("Pending"), times("Scheduled"), times("Crashed")), (3, 3, 1), "{history:?}");
    assert_eq!(label(&it.lab, run, "worker.reruns").await, Some(2.into()));
}

#[tokio::test]
async fn a_run_that_its_own_code_failed_is_not_executed_again() {
    let it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let run = pool.run(pool.engine(&marks.shell("echo ran >> marks; exit 3")).await).await;
    let daemon = pool.daemon().env("WORKER_START_RERUN_ON", "preempted,oom,node_lost,submit_failed");
    let _daemon = daemon.started().await;
    it.lab.reaches(run, StateType::Crashed).await;
    it.lab.executed(run).await;
    assert_eq!(marks.made(), ["ran"]);
    assert_eq!(label(&it.lab, run, "worker.reruns").await, None);
}

/// The last lines of a failed command say why it failed, without the secrets in its environment.
#[tokio::test]
async fn a_crash_says_what_the_run_wrote_last() {
    let it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let lines =
        marks.shell("for n in $(seq 1 80); do echo line $n >&2; done; echo key is $PREFECT_API_KEY >&2; exit 3");
    let run = pool.run(pool.engine(&lines).await).await;
    let _daemon = pool.daemon().env("PREFECT_API_KEY", "canary-secret-0123").started().await;
    let message = it.lab.reaches(run, StateType::Crashed).await.message.unwrap();
    assert!(message.starts_with("Process exited with status code: 3."), "{message}");
    assert!(
        message.contains("line 80\n") && message.contains("line 40\n") && !message.contains("line 20\n"),
        "{message}"
    );
    assert!(message.contains("key is ***") && !message.contains("canary"), "{message}");
}

/// Whatever was written down, in whatever file: no secret.
#[tokio::test]
async fn nothing_in_the_state_directory_holds_a_secret() {
    let it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let run = pool.run(pool.command(&marks.held_command(0)).await).await;
    let daemon = pool.daemon().env("PREFECT_API_KEY", "canary-secret-0123").started().await;
    it.lab.reaches(run, StateType::Running).await;
    marks.count(1).await;
    let mut looked_into = 0;
    for file in files(&daemon.path("state")) {
        let bytes = fs_err::read(&file).unwrap_or_default();
        looked_into += 1;
        assert!(!bytes.windows(6).any(|window| window == b"canary"), "{}", file.display());
    }
    assert!(looked_into > 5, "{looked_into}");
    marks.release();
    it.lab.reaches(run, StateType::Completed).await;
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.is_file())
        .collect()
}

/// The exit code tells a script which of the ways it was.
#[tokio::test]
async fn runs_that_are_waited_for_in_vain_are_stopped_and_the_exit_code_says_so() {
    let it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let run = pool.run(pool.engine(&marks.endless_command()).await).await;
    let daemon = pool.daemon().env("WORKER_SHUTDOWN_RUNS", "wait").env("WORKER_SHUTDOWN_DRAIN_TIMEOUT_SECONDS", "0.5");
    let mut daemon = daemon.started().await;
    marks.count(1).await;
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.exited(SOON).await.code(), Some(3));
    let state = it.lab.reaches(run, StateType::Crashed).await;
    assert!(state.message.unwrap().starts_with("The worker that executed this flow run was stopped and ended it."));
}

/// An API that takes requests and answers none: what was still to be said is written down before the worker ends.
#[tokio::test]
async fn a_stop_while_the_api_hangs_keeps_what_is_still_to_be_said() {
    let it = InMemory::start().await;
    let (pool, between, marks) = (it.lab.pool().await, Between::new(&it.lab).await, Marks::new());
    let run = pool.run(pool.engine(&marks.held_command(3)).await).await;
    let daemon = || between.daemon(&pool).args(["--name", "steady"]).env("PREFECT_API_REQUEST_TIMEOUT", "30");
    let mut first = daemon().started().await;
    marks.count(1).await;
    let hangs = between.add(Rule::on("/api/logs/**", Fault::BlackHole));
    marks.release();
    it.lab.reaches(run, StateType::Crashed).await;
    between.acted(hangs, 1).await;
    assert!(first.stop().await.success());
    between.proxy.lift(hangs);
    let _second = daemon().spawn_in(first.kill().await);
    it.lab.logged(run, "as crashed: Process exited with status code: 3").await;
}

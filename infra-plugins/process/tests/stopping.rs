//! Stopping whole trees of processes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use infra_contract::{InfraPlugin as _, Killed};
use worker_core::exit::Exit;
use worker_core::machine::KillIntent;

use rustix::process::Signal;
use support::{Bench, LIMIT, is_alive, marked, script_run, signal};

/// Runs a script that prints `child <pid>` for something it leaves, then `ready`; stops it; and asserts that nothing of it
/// lives.
async fn leaves_nothing(script: &str, intent: KillIntent) {
    let bench = Bench::new();
    let handle = bench.launch(&script_run(script)).await.unwrap();
    let mut watched = bench.watch(&handle).await;
    watched.line("ready").await;
    let child = watched.line("child ").await;
    assert!(is_alive(&child), "there is something to be left behind");
    bench.plugin.kill(&handle, intent, LIMIT).await.unwrap();
    assert!(!is_alive(&handle.infra_id.0));
    assert!(!is_alive(&child), "process {child} was left behind by {intent:?}");
    watched.until_the_end().await;
}

#[tokio::test]
async fn children_in_the_background_go_with_the_run() {
    for intent in [KillIntent::Cancel, KillIntent::Shutdown, KillIntent::Force] {
        leaves_nothing("sleep 600 & echo child $!; echo ready; wait", intent).await;
    }
}

#[tokio::test]
async fn a_grandchild_that_forked_twice_into_a_session_of_its_own_goes_with_the_run() {
    let script = "(setsid sh -c 'echo child $$; exec sleep 600' &); echo ready; exec sleep 600";
    leaves_nothing(script, KillIntent::Shutdown).await;
}

#[tokio::test]
async fn a_child_that_cleared_its_environment_goes_with_the_run() {
    let script = r#"env -i "PATH=$PATH" setsid sh -c 'echo child $$; exec sleep 600' & echo ready; wait"#;
    leaves_nothing(script, KillIntent::Shutdown).await;
}

#[tokio::test]
async fn a_child_that_ignores_termination_goes_with_the_run() {
    let script = r#"sh -c 'trap "" TERM; echo child $$; while :; do sleep 1; done' & echo ready; wait"#;
    leaves_nothing(script, KillIntent::Cancel).await;
}

#[tokio::test]
async fn processes_born_during_the_kill_go_with_the_run() {
    let bench = Bench::new();
    let breeder = bench.directory().join("breeder");
    std::fs::write(&breeder, r#"[ "$1" = 0 ] || setsid sh "$0" $(($1 - 1)) & exec sleep 600"#).unwrap();
    // Terminated, it leaves a chain of detached processes behind, each of which starts the next.
    let script = format!("trap 'setsid sh {breeder} 30 & exit 0' TERM; echo ready; while :; do sleep 0.05; done");
    let handle = bench.launch(&script_run(&script)).await.unwrap();
    bench.watch(&handle).await.line("ready").await;
    bench.plugin.kill(&handle, KillIntent::Shutdown, LIMIT).await.unwrap();
    assert_eq!(marked(&handle.key), 0, "processes with the run's marker are left");
}

#[tokio::test]
async fn what_a_run_left_in_the_background_goes_when_it_ends_however_it_ends() {
    for exit in ["exit 0", "exit 3", "kill -9 $$"] {
        let bench = Bench::new();
        let script = format!("setsid sleep 600 & (setsid sleep 600 &); {exit}");
        let handle = bench.launch(&script_run(&script)).await.unwrap();
        bench.watch(&handle).await.until_the_end().await;
        assert_eq!(marked(&handle.key), 0, "after {exit}");
        let killed = bench.plugin.kill(&handle, KillIntent::Cancel, LIMIT).await.unwrap();
        assert_eq!(killed, Killed::AlreadyGone);
    }
}

#[tokio::test]
async fn a_supervisor_that_does_not_answer_does_not_save_its_run() {
    let bench = Bench::new();
    let handle = bench.launch(&script_run("trap '' TERM; echo ready; while :; do sleep 1; done")).await.unwrap();
    let mut watched = bench.watch(&handle).await;
    watched.line("ready").await;
    signal(&bench.supervisor(&handle), Signal::STOP);
    let killed = bench.plugin.kill(&handle, KillIntent::Shutdown, Duration::from_millis(300)).await.unwrap();
    assert_eq!(killed, Killed::Forcibly);
    assert_eq!(marked(&handle.key), 0);
    assert_eq!(watched.until_the_end().await.1.exit, Exit::Vanished);
    bench.plugin.cleanup(&handle).await.unwrap();
}

#[tokio::test]
async fn a_supervisor_that_answers_again_does_not_repeat_the_signal_that_was_sent_without_it() {
    let bench = Bench::new();
    let script = "trap 'echo got TERM' TERM; echo ready; while :; do sleep 0.05; done";
    let handle = bench.launch(&script_run(script)).await.unwrap();
    let mut watched = bench.watch(&handle).await;
    watched.line("ready").await;
    let supervisor = bench.supervisor(&handle);
    signal(&supervisor, Signal::STOP);
    tokio::select! {
        _ = bench.plugin.kill(&handle, KillIntent::Shutdown, LIMIT) => panic!("it ended"),
        _ = watched.line("got TERM") => {}
    }
    signal(&supervisor, Signal::CONT);
    // Long enough for what the supervisor makes of the order that nobody waits for any more.
    let grace = Duration::from_millis(500);
    assert_eq!(bench.plugin.kill(&handle, KillIntent::Shutdown, grace).await.unwrap(), Killed::Forcibly);
    let (output, report) = watched.until_the_end().await;
    assert_eq!((output.matches("got TERM").count(), report.exit), (1, Exit::Signal(9)), "{output}");
}

#[tokio::test]
async fn the_signals_of_a_terminal_or_a_service_manager_do_not_end_a_supervisor() {
    let bench = Bench::new();
    let handle = bench.launch(&script_run("echo ready; read line < /dev/null; exec sleep 600")).await.unwrap();
    let mut watched = bench.watch(&handle).await;
    watched.line("ready").await;
    for each in [Signal::TERM, Signal::INT, Signal::HUP] {
        signal(&bench.supervisor(&handle), each);
    }
    bench.plugin.kill(&handle, KillIntent::Shutdown, LIMIT).await.unwrap();
    // Told by the supervisor: it is still there. And the command did not inherit that signals are handled.
    assert_eq!(watched.until_the_end().await.1.exit, Exit::Signal(15));
}

#[tokio::test]
async fn a_run_that_ends_by_itself_on_termination_keeps_its_exit_code() {
    let bench = Bench::new();
    let handle =
        bench.launch(&script_run("trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done")).await.unwrap();
    let mut watched = bench.watch(&handle).await;
    watched.line("ready").await;
    let killed = bench.plugin.kill(&handle, KillIntent::Shutdown, LIMIT).await.unwrap();
    assert_eq!((killed, watched.until_the_end().await.1.exit), (Killed::Gracefully, Exit::Code(5)));
}

#[tokio::test]
async fn a_kill_that_is_asked_again_signals_only_once() {
    let bench = Bench::new();
    let script = "trap 'echo got TERM; asked=yes' TERM; echo ready; while :; do sleep 0.05; done";
    let handle = bench.launch(&script_run(script)).await.unwrap();
    let mut watched = bench.watch(&handle).await;
    watched.line("ready").await;
    tokio::select! {
        _ = bench.plugin.kill(&handle, KillIntent::Cancel, LIMIT) => panic!("it ended"),
        _ = watched.line("got TERM") => {}
    }
    let grace = Duration::from_millis(500);
    let killed = bench.plugin.kill(&handle, KillIntent::Cancel, grace).await.unwrap();
    assert_eq!(killed, Killed::Forcibly);
    let (output, report) = watched.until_the_end().await;
    assert_eq!(report.exit, Exit::Signal(9));
    assert_eq!(output.matches("got TERM").count(), 1, "{output}");
}

//! Runs that outlive their worker, and what a later worker makes of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::process::{Command, Stdio};

use infra_contract::{ErrorClass, FlowHooks, Found, InfraPlugin as _, Killed};
use rustix::process::Signal;
use serde_json::json;
use worker_core::exit::Exit;
use worker_core::handle::{Detail, Handle};
use worker_core::machine::KillIntent;
use worker_core::spec::ReportState;

use support::{Bench, LIMIT, engine_run, is_alive, marked, script_run, signal, until};

/// A script that goes on when the file `go` is there.
fn waits_for_go(bench: &Bench, then: &str) -> String {
    format!("echo ready; while [ ! -e {}/go ]; do sleep 0.02; done; {then}", bench.directory())
}

fn go(bench: &Bench) {
    std::fs::write(bench.directory().join("go"), "").unwrap();
}

#[tokio::test]
async fn a_later_worker_goes_on_with_the_output_and_learns_the_exit_code() {
    let mut bench = Bench::new();
    let handle = bench.launch(&script_run(&waits_for_go(&bench, "echo later; exit 7"))).await.unwrap();
    let mut watched = bench.watch(&handle).await;
    watched.line("ready").await;
    drop(watched);
    bench.restart();
    assert_eq!(bench.plugin.owned().await.unwrap(), std::slice::from_ref(&handle));
    assert_eq!(bench.plugin.find(&handle.key).await.unwrap().as_ref(), Some(&handle));
    assert_eq!(bench.plugin.reattach(&handle).await.unwrap(), Found::Running);
    let watched = bench.watch(&handle).await;
    go(&bench);
    let (output, report) = watched.until_the_end().await;
    assert!(output.ends_with("later\n"), "{output}");
    assert!(output.matches("ready").count() <= 1, "what was passed on is not repeated without need: {output}");
    assert_eq!(report.exit, Exit::Code(7));
}

#[tokio::test]
async fn an_end_while_there_was_no_worker_is_told_with_all_output() {
    let mut bench = Bench::new();
    let handle = bench.launch(&script_run(&waits_for_go(&bench, "echo bye; echo why >&2; exit 3"))).await.unwrap();
    bench.restart();
    go(&bench);
    until("the run ends", || bench.claim_file(&handle).contains("\"exit\"")).await;
    let Found::Exited(report) = bench.plugin.reattach(&handle).await.unwrap() else { panic!("it has ended") };
    assert_eq!((report.exit, report.detail.as_deref()), (Exit::Code(3), Some("its standard error ends with: why")));
    let (output, watched) = bench.watch(&handle).await.until_the_end().await;
    assert_eq!((output.as_str(), watched), ("ready\nbye\n", report));
}

#[tokio::test]
async fn a_later_worker_stops_a_run_and_removes_all_of_it() {
    let mut bench = Bench::new();
    let handle = bench.launch(&script_run("(setsid sleep 600 &); echo ready; exec sleep 600")).await.unwrap();
    bench.watch(&handle).await.line("ready").await;
    let (supervisor, cgroup) = (bench.supervisor(&handle), bench.cgroup(&handle));
    bench.restart();
    let killed = bench.plugin.kill(&handle, KillIntent::Shutdown, LIMIT).await.unwrap();
    assert_eq!((killed, marked(&handle.key)), (Killed::Gracefully, 0));
    bench.plugin.cleanup(&handle).await.unwrap();
    assert!(!is_alive(&supervisor), "the supervisor is left");
    assert_eq!(std::fs::read_dir(&bench.settings.runs_directory).unwrap().count(), 0, "its folder is left");
    assert!(cgroup.is_none_or(|cgroup| !cgroup.exists()), "its cgroup is left");
    assert_eq!(bench.plugin.owned().await.unwrap(), []);
}

#[tokio::test]
async fn cleaning_up_ends_a_run_that_nobody_stopped() {
    let bench = Bench::new();
    let handle = bench.launch(&script_run("exec sleep 600")).await.unwrap();
    let supervisor = std::path::Path::new("/proc").join(bench.supervisor(&handle));
    bench.plugin.cleanup(&handle).await.unwrap();
    assert_eq!(marked(&handle.key), 0);
    assert!(!bench.folder(&handle.key).exists());
    until("the supervisor is collected", || !supervisor.exists()).await;
}

#[tokio::test]
async fn the_runs_of_another_owner_are_left_to_it() {
    let bench = Bench::new();
    let handle = bench.launch(&script_run("exec sleep 600")).await.unwrap();
    let mut settings = bench.settings.clone();
    settings.owner = infra_contract::Owner::new("somebody else");
    assert_eq!(infra_process::ProcessPlugin::new(settings).owned().await.unwrap(), []);
    bench.plugin.cleanup(&handle).await.unwrap();
}

#[tokio::test]
async fn a_run_goes_on_without_its_supervisor_and_its_end_is_seen_but_not_how() {
    let mut bench = Bench::new();
    let script = format!("setsid sleep 600 & {}", waits_for_go(&bench, "echo later; exit 7"));
    let handle = bench.launch(&script_run(&script)).await.unwrap();
    signal(&bench.supervisor(&handle), Signal::KILL);
    bench.restart();
    assert_eq!(bench.plugin.reattach(&handle).await.unwrap(), Found::Running);
    let watched = bench.watch(&handle).await;
    go(&bench);
    let (output, report) = watched.until_the_end().await;
    assert!(output.ends_with("later\n"), "{output}");
    assert_eq!(report.exit, Exit::Vanished);
    assert_eq!(report.detail.unwrap(), "its exit code is unknown: its supervisor was killed");
    let (_, again) = bench.watch(&handle).await.until_the_end().await;
    assert_eq!(again.exit, Exit::Vanished);
    assert_eq!(marked(&handle.key), 0, "what it left is still there");
    let cgroup = bench.cgroup(&handle);
    bench.plugin.cleanup(&handle).await.unwrap();
    assert!(cgroup.is_none_or(|cgroup| !cgroup.exists()), "its cgroup is left");
}

#[tokio::test]
async fn a_run_without_its_supervisor_is_stopped_with_all_that_belongs_to_it() {
    let bench = Bench::new();
    let script = r"(setsid sleep 600 &); (env -i setsid sh -c 'echo child $$; exec sleep 600' &)
        trap '' TERM; echo ready; while :; do sleep 0.1; done";
    let handle = bench.launch(&script_run(script)).await.unwrap();
    let mut watched = bench.watch(&handle).await;
    watched.line("ready").await;
    let unmarked = watched.line("child ").await;
    let is_enclosed = bench.cgroup(&handle).is_some_and(|cgroup| cgroup.exists());
    signal(&bench.supervisor(&handle), Signal::KILL);
    let grace = std::time::Duration::from_millis(200);
    let killed = bench.plugin.kill(&handle, KillIntent::Cancel, grace).await.unwrap();
    assert_eq!((killed, marked(&handle.key)), (Killed::Forcibly, 0));
    // Nothing but the cgroup tells what cleared its environment and left its parent and its session.
    assert!(!is_enclosed || !is_alive(&unmarked));
    signal(&unmarked, Signal::KILL);
}

#[tokio::test]
async fn a_supervisor_that_was_killed_before_it_named_its_process_is_made_good_for() {
    let mut bench = Bench::new();
    let handle = bench.launch(&script_run("exec sleep 600")).await.unwrap();
    signal(&bench.supervisor(&handle), Signal::KILL);
    let written = bench.claim_file(&handle);
    let (claim, process) = written.trim_end().split_once('\n').unwrap();
    assert!(process.contains("\"process\""), "{written}");
    bench.rewrite_claim_file(&handle, claim);
    bench.restart();
    let found = bench.plugin.find(&handle.key).await.unwrap().unwrap();
    assert_eq!(found.infra_id, handle.infra_id, "the process that carries the marker");
    bench.plugin.kill(&found, KillIntent::Force, LIMIT).await.unwrap();
    bench.restart();
    let found = bench.plugin.find(&handle.key).await.unwrap().unwrap();
    let Found::Exited(report) = bench.plugin.reattach(&found).await.unwrap() else { panic!("nothing runs") };
    assert_eq!(report.exit, Exit::Vanished);
}

/// A run that was under way when the machine failed.
async fn lost_with_the_machine(bench: &Bench) -> Handle {
    let mut handle = bench.launch(&script_run("exec sleep 600")).await.unwrap();
    signal(&bench.supervisor(&handle), Signal::KILL);
    signal(&handle.infra_id.0, Signal::KILL);
    let written = bench.claim_file(&handle);
    let (claim, words) = written.split_once('\n').unwrap();
    let mut claim: serde_json::Value = serde_json::from_str(claim).unwrap();
    *claim.pointer_mut("/boot_id").unwrap() = json!("another");
    bench.rewrite_claim_file(&handle, &format!("{claim}\n{words}"));
    let mut detail: serde_json::Value = handle.detail.read().unwrap();
    *detail.pointer_mut("/boot_id").unwrap() = json!("another");
    handle.detail = Detail::of(&detail).unwrap();
    handle
}

#[tokio::test]
async fn files_that_a_failure_of_the_machine_has_torn_hold_neither_their_run_nor_others() {
    for torn in ["claim", "process", "a line"] {
        let mut bench = Bench::new();
        let (whole, handle) = (lost_with_the_machine(&bench).await, lost_with_the_machine(&bench).await);
        let written = bench.claim_file(&handle);
        let (claim, words) = written.split_once('\n').unwrap();
        match torn {
            "claim" => bench.rewrite_claim_file(&handle, ""),
            "process" => bench.rewrite_claim_file(&handle, &format!("{claim}\n{}", words.trim_end())),
            _ => bench.rewrite_claim_file(&handle, &format!("{claim}\n{}\n", "\0".repeat(words.len()))),
        }
        bench.restart();
        assert!(bench.plugin.owned().await.unwrap().contains(&whole), "{torn}");
        let found = bench.plugin.find(&handle.key).await.unwrap().expect("somebody has claimed it");
        for handle in [&handle, &found] {
            bench.restart();
            let Found::Exited(report) = bench.plugin.reattach(handle).await.unwrap() else { panic!("nothing runs") };
            assert_eq!(report.exit, Exit::NodeLost, "{torn}");
        }
        bench.plugin.cleanup(&found).await.unwrap();
        assert!(!bench.folder(&handle.key).exists(), "{torn}");
    }
}

#[tokio::test]
async fn hooks_that_nobody_has_the_environment_for_are_refused_aloud() {
    let bench = Bench::new();
    let handle = bench.launch(&script_run("exec sleep 600")).await.unwrap();
    let supervisor = bench.supervisor(&handle);
    signal(&supervisor, Signal::KILL);
    until("the supervisor has gone", || !is_alive(&supervisor)).await;
    bench.plugin.kill(&handle, KillIntent::Force, LIMIT).await.unwrap();
    let error = bench.plugin.run_hooks(&handle, FlowHooks::OnCrashed).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Denied);
    assert_eq!(error.to_string(), "the hooks cannot be run: the run's supervisor is gone");
    bench.plugin.cleanup(&handle).await.unwrap();
}

#[tokio::test]
async fn a_restart_of_the_machine_is_told_as_that() {
    let mut bench = Bench::new();
    let handle = lost_with_the_machine(&bench).await;
    bench.restart();
    assert_eq!(bench.plugin.owned().await.unwrap(), std::slice::from_ref(&handle));
    let Found::Exited(report) = bench.plugin.reattach(&handle).await.unwrap() else { panic!("nothing runs") };
    assert_eq!(report.exit, Exit::NodeLost);
    assert_eq!(report.detail.unwrap(), "the machine was restarted while the run executed");
    bench.plugin.cleanup(&handle).await.unwrap();
    assert!(!bench.folder(&handle.key).exists());
}

#[tokio::test]
async fn a_handle_of_the_first_version_is_still_understood() {
    let bench = Bench::new();
    let mut sleep = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
    let started = std::fs::read_to_string(format!("/proc/{}/stat", sleep.id())).unwrap();
    let started: u64 = started.split_ascii_whitespace().nth(21).unwrap().parse().unwrap();
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let detail = |started: u64| {
        let process = json!({ "pid": sleep.id(), "started": started });
        json!({ "process": process, "boot_id": boot_id.trim(), "temporary_directory": null })
    };
    let handle = |started: u64| Handle {
        cancels_itself: false,
        report_state: ReportState::Engine,
        kind: bench.plugin.kind(),
        version: 1,
        key: engine_run().key,
        infra_id: worker_core::ids::InfraId(sleep.id().to_string()),
        detail: Detail::of(&detail(started)).unwrap(),
    };
    assert_eq!(bench.plugin.reattach(&handle(1)).await.unwrap(), Found::Gone, "another process of the same number");
    let handle = handle(started);
    assert_eq!(bench.plugin.reattach(&handle).await.unwrap(), Found::Running);
    let waiting = tokio::task::spawn_blocking(move || sleep.wait());
    bench.plugin.kill(&handle, KillIntent::Shutdown, LIMIT).await.unwrap();
    waiting.await.unwrap().unwrap();
}

//! One execution for each launch key, whoever launches, and whenever a worker dies.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use infra_contract::{ErrorClass, InfraPlugin as _, Unheard};
use infra_process::SupervisorProgram;
use serde_json::{Value, json};
use worker_core::ids::LaunchKey;
use worker_core::machine::KillIntent;
use worker_core::spec::RunSpec;

use support::{Bench, LIMIT, engine_run, script_run};

/// A supervisor that a worker started before it died: the test plays the worker.
struct Orphan {
    child: std::process::Child,
    spec: Value,
}

impl Orphan {
    fn of(bench: &Bench, key: &LaunchKey, asked_at: u64) -> Self {
        let program = env!("CARGO_BIN_EXE_process-supervisor");
        let child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let spec = json!({
            "release": env!("CARGO_PKG_VERSION"), "key": key, "owner": bench.settings.owner.mark(), "folder": bench.folder(key), "asked_at": asked_at,
            "program": "/bin/sleep", "arguments": ["600"], "environment": {}, "working_dir": "/",
            "streams_output": true, "python": [],
        });
        Self { child, spec }
    }

    /// The spec arrives only now; what the supervisor says.
    fn answer(mut self) -> String {
        self.child.stdin.take().unwrap().write_all(self.spec.to_string().as_bytes()).unwrap();
        let mut answer = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut answer).unwrap();
        self.child.wait().unwrap();
        answer
    }
}

fn now() -> u64 {
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    format!("{:.0}", seconds * 1000.0).parse().unwrap()
}

#[tokio::test]
async fn two_workers_that_launch_the_same_key_at_once_start_it_once() {
    let bench = Bench::new();
    let marks = bench.directory().join("marks");
    for _ in 0..5 {
        std::fs::write(&marks, "").unwrap();
        let spec = script_run(&format!("echo started >> {marks}; echo ready; exec sleep 600"));
        let others: Vec<Bench> = (0..3).map(|_| bench.another_worker()).collect();
        let launched = futures::future::join_all(others.iter().map(|worker| worker.launch(&spec))).await;
        let handles: Vec<_> = launched.into_iter().map(Result::unwrap).collect();
        assert!(handles.iter().all(|handle| handle == &handles[0]), "{handles:?}");
        bench.watch(&handles[0]).await.line("ready").await;
        assert_eq!(std::fs::read_to_string(&marks).unwrap(), "started\n");
        bench.plugin.cleanup(&handles[0]).await.unwrap();
    }
}

#[tokio::test]
async fn a_supervisor_on_its_way_starts_nothing_once_the_launch_was_given_up() {
    let bench = Bench::new();
    let key = engine_run().key;
    let orphan = Orphan::of(&bench, &key, now());
    assert_eq!(bench.plugin.find(&key).await.unwrap(), None);
    assert_eq!(orphan.answer().trim(), r#""already_claimed""#);
    assert_eq!(bench.another_worker().plugin.find(&key).await.unwrap(), None, "it is final");
    assert_eq!(bench.plugin.owned().await.unwrap(), []);
}

#[tokio::test]
async fn a_supervisor_that_was_asked_too_long_ago_starts_nothing() {
    let bench = Bench::new();
    let key = engine_run().key;
    std::fs::create_dir_all(bench.folder(&key)).unwrap();
    let answer = Orphan::of(&bench, &key, now().saturating_sub(6_000)).answer();
    assert!(answer.contains("slow to start"), "{answer}");
    assert!(!bench.folder(&key).join("claim").exists());
}

#[tokio::test]
async fn a_launch_of_which_nothing_is_known_is_found_if_it_took_place() {
    let bench = Bench::new();
    let handle = bench.launch(&script_run("exec sleep 600")).await.unwrap();
    let found = bench.another_worker().plugin.find(&handle.key).await.unwrap();
    assert_eq!(found, Some(handle.clone()));
    bench.plugin.kill(&handle, KillIntent::Force, LIMIT).await.unwrap();
}

#[tokio::test]
async fn what_was_given_up_can_be_launched_by_whoever_means_it() {
    let bench = Bench::new();
    let spec = script_run("exec sleep 600");
    assert_eq!(bench.plugin.find(&spec.key).await.unwrap(), None);
    let handle = bench.launch(&spec).await.unwrap();
    assert_eq!(bench.plugin.find(&spec.key).await.unwrap(), Some(handle.clone()));
    bench.plugin.cleanup(&handle).await.unwrap();
}

#[tokio::test]
async fn a_program_that_is_no_supervisor_is_an_error_after_which_the_outcome_can_be_asked() {
    let bench = Bench::new();
    let mut settings = bench.settings.clone();
    settings.supervisor = SupervisorProgram::new("/bin/false");
    let plugin = infra_process::ProcessPlugin::new(settings);
    let spec = RunSpec { ..script_run("exit 0") };
    let error = plugin.launch(&plugin.prepare(&spec).await.unwrap(), &Unheard).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    assert_eq!(plugin.find(&spec.key).await.unwrap(), None);
}

//! How containers end, and what is told of it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::Duration;

use infra_contract::InfraPlugin as _;
use infra_docker::{Cleanup, DockerSettings};
use serde_json::json;
use worker_core::exit::Exit;

use support::{Bench, Seen, container, script_run, with_env, with_fields};

#[tokio::test]
async fn c098_the_exit_code_is_known_without_output() {
    let bench = Bench::new();
    let seen = bench.run(&with_fields(script_run("echo out; exit 9"), json!({"stream_output": false}))).await;
    assert_eq!(seen.report().exit, Exit::Code(9));
    assert_eq!(seen.output, "");
}

#[tokio::test]
async fn c097_output_is_streamed_and_goes_to_the_runs_log_where_that_is_asked_for() {
    let bench = Bench::new();
    let script = "echo one; echo two >&2; printf three";
    let seen = bench.run(&script_run(script)).await;
    assert!(["one\n", "two\n", "three"].iter().all(|line| seen.output.contains(line)), "{seen:?}");
    assert_eq!(seen.log_lines, Vec::<String>::new());
    let shipped =
        bench.run(&with_fields(script_run(script), json!({"ship_output": true, "stream_output": false}))).await;
    assert_eq!(shipped.output, "");
    let mut lines = shipped.log_lines;
    lines.sort();
    assert_eq!(lines, ["one", "three", "two"]);
}

#[tokio::test]
async fn c097_a_container_that_is_removed_by_itself_ends_like_any_other() {
    let bench = Bench::with(|settings| DockerSettings { cleanup: Cleanup::Keep, ..settings });
    let seen = bench.run(&with_fields(script_run("echo out; exit 3"), json!({"auto_remove": true}))).await;
    assert_eq!((seen.report().exit, seen.output.as_str()), (Exit::Code(3), "out\n"));
    assert_eq!(bench.containers(), Vec::<String>::new(), "it was to be removed");
}

#[tokio::test]
async fn a_container_that_the_engine_starts_anew_is_watched_to_its_last_end_and_read_once() {
    let bench = Bench::new();
    let script = "if [ -e /tmp/again ]; then echo second; exit 0; fi; touch /tmp/again; echo first; exit 7";
    let policy = json!({"restart_policy": {"Name": "on-failure", "MaximumRetryCount": 3}});
    let seen = bench.run(&with_fields(script_run(script), json!({"container_create_kwargs": policy}))).await;
    assert_eq!((seen.report().exit, seen.output.as_str()), (Exit::Code(0), "first\nsecond\n"));
    assert!(bench.log.text().contains("`restart_policy`"), "{}", bench.log.text());
}

#[tokio::test]
async fn c099_each_state_of_a_container_is_told() {
    let bench = Bench::new();
    let seen = bench.run(&script_run("exit 0")).await;
    let told: Vec<_> = seen.occurrences.iter().map(|occurrence| occurrence.event.as_str()).collect();
    assert_eq!(told, ["created", "running", "exited"].map(|state| format!("prefect.docker.container.{state}")));
}

#[tokio::test]
async fn the_last_words_of_a_failed_container_are_quoted_without_its_secrets() {
    let bench = Bench::new();
    let script = r#"echo noise; echo "no login as $DB_PASSWORD with $TEXT" >&2; exit 5"#;
    let mut spec = with_env(script_run(script), &[("DB_PASSWORD", "hunter2-long"), ("TEXT", "from-a-block")]);
    spec.block_texts.insert("from-a-block".to_owned());
    let seen = bench.run(&spec).await;
    assert_eq!(seen.report().exit, Exit::Code(5));
    assert_eq!(seen.report().detail.as_deref(), Some("its standard error ends with: no login as *** with ***"));
}

#[tokio::test]
async fn too_much_memory_is_told_with_the_limit() {
    let bench = Bench::new();
    let script = "x=0123456789abcdef; while :; do x=$x$x; done";
    let fields = json!({"mem_limit": "16m", "memswap_limit": "16m"});
    let seen = bench.run(&with_fields(script_run(script), fields)).await;
    assert_eq!(seen.report().exit, Exit::OutOfMemory);
    let detail = seen.report().detail.clone().unwrap();
    assert!(detail.starts_with("it used more memory than its limit of 16 MiB"), "{detail}");
}

#[tokio::test]
async fn a_container_that_somebody_removes_has_vanished_and_one_that_somebody_kills_has_its_code() {
    let bench = Bench::new();
    let spec = script_run("echo ready; sleep 600");
    let handle = bench.launch(&spec).await.unwrap();
    let remove = async {
        Seen::until(bench.plugin.watch(&handle).await.unwrap(), |seen| seen.output.contains("ready")).await;
        bench.docker(&["rm", "-f", container(&handle)]);
    };
    let (seen, ()) = tokio::join!(async { Seen::all(bench.plugin.watch(&handle).await.unwrap()).await }, remove);
    assert_eq!(seen.report().exit, Exit::Vanished);
    assert!(seen.report().detail.as_deref().unwrap().contains("removed from outside"), "{seen:?}");

    let handle = bench.launch(&script_run("exec sleep 600")).await.unwrap();
    bench.docker(&["kill", container(&handle)]);
    let seen = Seen::all(bench.plugin.watch(&handle).await.unwrap()).await;
    assert_eq!(seen.report().exit, Exit::Code(137));
    bench.plugin.cleanup(&handle).await.unwrap();
}

#[tokio::test]
async fn a_container_is_kept_for_its_time_and_then_removed() {
    let bench = Bench::with(|settings| DockerSettings { cleanup: Cleanup::After(Duration::from_secs(1)), ..settings });
    let handle = bench.launch(&script_run("exit 0")).await.unwrap();
    let other = bench.launch(&with_fields(script_run("exit 0"), json!({"cleanup": "keep"}))).await.unwrap();
    let live = bench.launch(&script_run("exec sleep 600")).await.unwrap();
    for handle in [&handle, &other] {
        Seen::all(bench.plugin.watch(handle).await.unwrap()).await;
        bench.plugin.cleanup(handle).await.unwrap();
    }
    assert_eq!(bench.containers().len(), 3);
    let tidied = async {
        loop {
            // Also by a later process of the same daemon.
            let owned = bench.restarted().owned().await.unwrap();
            assert_eq!(
                owned.iter().map(|handle| handle.key).collect::<Vec<_>>(),
                [live.key],
                "what is kept is no stray"
            );
            if bench.containers().len() < 3 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), tidied).await.unwrap();
    let left = bench.containers();
    assert!(!left.contains(&container(&handle).to_owned()) && left.contains(&container(&other).to_owned()), "{left:?}");
    assert!(left.contains(&container(&live).to_owned()));
}

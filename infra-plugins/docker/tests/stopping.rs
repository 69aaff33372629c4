//! Stopping containers, ours and others.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::{Duration, Instant};

use docker_bed::BUSYBOX;
use infra_contract::{InfraPlugin as _, Killed, Named};
use uuid::Uuid;
use worker_core::exit::Exit;
use worker_core::ids::InfraId;
use worker_core::machine::KillIntent;

use support::{Bench, Seen, container, script_run};

const GRACE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn c100_a_container_is_asked_to_end_and_one_that_is_gone_is_gone() {
    let bench = Bench::new();
    let handle = bench
        .launch(&script_run("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done"))
        .await
        .unwrap();
    Seen::until(bench.plugin.watch(&handle).await.unwrap(), |seen| seen.output.contains("ready")).await;
    let begun = Instant::now();
    assert_eq!(bench.plugin.kill(&handle, KillIntent::Cancel, GRACE).await.unwrap(), Killed::Gracefully);
    assert!(begun.elapsed() < GRACE);
    assert_eq!(bench.plugin.kill(&handle, KillIntent::Cancel, GRACE).await.unwrap(), Killed::AlreadyGone);
    bench.docker(&["rm", container(&handle)]);
    assert_eq!(bench.plugin.kill(&handle, KillIntent::Cancel, GRACE).await.unwrap(), Killed::AlreadyGone);
    assert_eq!(bench.plugin.named(&handle.infra_id).await.unwrap(), Named::Gone);
}

#[tokio::test]
async fn c100_a_container_of_another_worker_is_found_by_the_id_at_the_api_and_stopped() {
    let bench = Bench::new();
    let run = Uuid::new_v4();
    let label = format!("io.prefect.flow-run-id={run}");
    let id = bench.docker(&["run", "-d", "--init", "--network", "none", "--label", &label, BUSYBOX, "sleep", "600"]);
    let Named::Found(handle) = bench.plugin.named(&InfraId(format!("http+docker://localhost:{id}"))).await.unwrap()
    else {
        panic!("not found");
    };
    assert_eq!(handle.key.run.0, run);
    assert_eq!(bench.plugin.kill(&handle, KillIntent::Cancel, GRACE).await.unwrap(), Killed::Gracefully);
    assert_eq!(bench.docker(&["inspect", "-f", "{{.State.Running}}", &id]), "false");
    bench.docker(&["rm", &id]);

    let id = bench.docker(&["create", "--network", "none", BUSYBOX, "true"]);
    let named = bench.plugin.named(&InfraId(format!("http+docker://localhost:{id}"))).await.unwrap();
    assert_eq!(named, Named::Elsewhere, "no container of a run is left alone");
    bench.docker(&["rm", &id]);
    assert_eq!(bench.plugin.named(&InfraId("4711".to_owned())).await.unwrap(), Named::Elsewhere);
}

#[tokio::test]
async fn what_this_worker_stopped_is_not_taken_for_the_end_of_the_engine() {
    let bench = Bench::new();
    let handle = bench.launch(&script_run("exec sleep 600")).await.unwrap();
    bench.plugin.kill(&handle, KillIntent::Force, Duration::ZERO).await.unwrap();
    let seen = Seen::all(bench.plugin.watch(&handle).await.unwrap()).await;
    assert_eq!(seen.report().exit, Exit::Code(137));
    bench.plugin.cleanup(&handle).await.unwrap();
}

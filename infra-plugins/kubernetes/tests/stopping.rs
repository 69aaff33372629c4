//! Stopping Jobs, ours and others.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::{Duration, Instant};

use infra_contract::{InfraPlugin as _, Killed, Named};
use k8s_openapi::api::batch::v1::Job;
use kube::api::PostParams;
use serde_json::json;
use uuid::Uuid;
use worker_core::exit::Exit;
use worker_core::ids::InfraId;
use worker_core::machine::KillIntent;

use support::{Bench, Seen, job_name, runs, with_fields, with_pod};

const GRACE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn c110_a_pod_has_its_grace_and_is_gone_with_its_job() {
    let bench = Bench::new().await;
    let spec = bench.script("trap 'sleep 2; echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done");
    let handle = bench.launch(&spec).await.unwrap();
    Seen::until(bench.plugin.watch(&handle).await.unwrap(), |seen| seen.output.contains("ready")).await;
    let watched = bench.plugin.watch(&handle).await.unwrap();
    let looking = async {
        let job = bench.job_once(&handle, |job| job.metadata.deletion_timestamp.is_some()).await;
        let pod = bench.pod_once(&handle, |pod| pod.metadata.deletion_timestamp.is_some()).await;
        (job, pod)
    };
    let begun = Instant::now();
    let killing = bench.plugin.kill(&handle, KillIntent::Cancel, GRACE);
    let (killed, (job, pod), seen) = tokio::join!(killing, looking, Seen::all(watched));
    assert_eq!(killed.unwrap(), Killed::Gracefully);
    assert!((Duration::from_secs(2)..GRACE).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    assert_eq!(job.metadata.finalizers.unwrap(), ["foregroundDeletion"]);
    assert_eq!(pod.metadata.deletion_grace_period_seconds, Some(30), "not the pod's own");
    assert!(seen.report().exit.is_success() || seen.report().exit == Exit::Code(143), "{seen:#?}");
    bench.gone(&handle).await;
    assert_eq!(bench.plugin.kill(&handle, KillIntent::Cancel, GRACE).await.unwrap(), Killed::AlreadyGone);
    assert_eq!(bench.plugin.named(&handle.infra_id).await.unwrap(), Named::Gone);
    bench.plugin.cleanup(&handle).await.unwrap();
}

#[tokio::test]
async fn c110_a_pod_that_does_not_listen_is_ended_after_its_grace_or_at_once_by_force() {
    let bench = Bench::new().await;
    let script = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    let handles =
        [bench.launch(&bench.script(script)).await.unwrap(), bench.launch(&bench.script(script)).await.unwrap()];
    for handle in &handles {
        Seen::until(bench.plugin.watch(handle).await.unwrap(), |seen| seen.output.contains("ready")).await;
    }
    let [graceful, forced] = &handles;
    let (graceful, forced) =
        tokio::join!(bench.plugin.kill(graceful, KillIntent::Cancel, Duration::from_secs(3)), async {
            let begun = Instant::now();
            (bench.plugin.kill(forced, KillIntent::Force, Duration::ZERO).await.unwrap(), begun.elapsed())
        });
    assert_eq!(graceful.unwrap(), Killed::Forcibly);
    assert_eq!(forced.0, Killed::Forcibly);
    assert!(forced.1 < Duration::from_secs(15), "{:?}", forced.1);
    for handle in &handles {
        assert!(!bench.end_of(handle).await.exit.is_success());
        bench.gone(handle).await;
    }
}

#[tokio::test]
async fn a_pod_that_has_not_started_is_stopped_too() {
    let bench = Bench::new().await;
    let spec = with_pod(bench.script("exit 0"), |pod| pod["nodeSelector"] = json!({"no-such": "label"}));
    let handle = bench.launch(&spec).await.unwrap();
    bench.pod_once(&handle, |pod| !runs(pod)).await;
    let watched = bench.plugin.watch(&handle).await.unwrap();
    let (killed, seen) = tokio::join!(bench.plugin.kill(&handle, KillIntent::Cancel, GRACE), Seen::all(watched));
    assert_ne!(killed.unwrap(), Killed::AlreadyGone);
    assert!(!seen.report().exit.is_success());
    bench.gone(&handle).await;
}

#[tokio::test]
async fn c110_a_job_is_found_by_its_name_at_the_api_and_stopped_whoever_made_it() {
    let (bench, other) = (Bench::new().await, Bench::new().await);
    let name = |job: &str| InfraId(format!("{}:{job}", bench.namespace.name()));
    let handle = bench.launch(&bench.script("exec sleep 600")).await.unwrap();
    assert_eq!(bench.plugin.named(&handle.infra_id).await.unwrap(), Named::Found(Box::new(handle.clone())));
    assert_eq!(other.plugin.named(&handle.infra_id).await.unwrap(), Named::Found(Box::new(handle.clone())));

    let run = Uuid::new_v4();
    let job = |name: &str, labels: serde_json::Value| -> Job {
        serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}, "spec": {"template": {
            "metadata": {"labels": labels},
            "spec": {"restartPolicy": "Never", "containers": [
                {"name": "prefect-job", "image": kubernetes_bed::BUSYBOX, "command": ["sleep", "600"]},
            ]},
        }}}))
        .unwrap()
    };
    let foreign = job("foreign", json!({"prefect.io/flow-run-id": run}));
    bench.jobs().create(&PostParams::default(), &foreign).await.unwrap();
    bench.jobs().create(&PostParams::default(), &job("nobody", json!({}))).await.unwrap();
    let Named::Found(foreign) = bench.plugin.named(&name("foreign")).await.unwrap() else { panic!("not found") };
    assert_eq!(foreign.key.run.0, run);
    bench.pod_once(&foreign, runs).await;
    assert_ne!(
        bench.plugin.kill(&foreign, KillIntent::Cancel, Duration::from_secs(1)).await.unwrap(),
        Killed::AlreadyGone
    );
    bench.gone(&foreign).await;
    assert_eq!(bench.plugin.named(&name("nobody")).await.unwrap(), Named::Elsewhere, "no Job of a run is left alone");
    assert_eq!(bench.plugin.named(&name("no-such-job")).await.unwrap(), Named::Gone);
    for malformed in ["4711", "a:b:c", "unix:///var/run/docker.sock:abc", ":x", "x:"] {
        assert_eq!(bench.plugin.named(&InfraId(malformed.to_owned())).await.unwrap(), Named::Elsewhere, "{malformed}");
    }
    bench.plugin.kill(&handle, KillIntent::Force, Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn c110_another_job_of_the_same_name_is_left_alone() {
    let bench = Bench::new().await;
    let spec = with_fields(bench.script("exit 0"), &json!({"stream_output": false}));
    let handle = bench.launch(&spec).await.unwrap();
    assert_eq!(bench.end_of(&handle).await.exit, Exit::Code(0));
    bench.plugin.cleanup(&handle).await.unwrap();
    bench.gone(&handle).await;
    let again = bench.launch(&with_pod(spec, |pod| pod["nodeSelector"] = json!({"no-such": "label"}))).await.unwrap();
    assert_eq!(job_name(&again), job_name(&handle));
    assert_eq!(bench.plugin.kill(&handle, KillIntent::Force, Duration::ZERO).await.unwrap(), Killed::AlreadyGone);
    bench.plugin.cleanup(&handle).await.unwrap();
    let job = bench.jobs().get(job_name(&again)).await.unwrap();
    assert_eq!(job.metadata.deletion_timestamp, None);
}

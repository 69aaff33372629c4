//! Workers that come and go, and what happens while there is none.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use infra_contract::{Found, InfraPlugin as _, Unheard};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::Api;
use kubernetes_bed::{PrivateControlPlane, until};
use serde_json::{Value, json};
use worker_core::exit::Exit;
use worker_core::spec::RunSpec;

use support::{Bench, SOON, Seen, has_ended, runs, scripted, with_manifest};

/// What happened without a watcher is told within this time.
const TOLD_WITHIN: Duration = Duration::from_secs(90);

#[tokio::test]
async fn a_later_process_adopts_its_job_goes_on_with_its_output_and_learns_its_end() {
    let bench = Bench::new().await;
    let script = "echo before; while [ ! -e /shared/go ]; do sleep 0.05; done; echo after; exit 4";
    let spec = bench.sharing(bench.script(script));
    let handle = bench.launch(&spec).await.unwrap();
    Seen::until(bench.plugin.watch(&handle).await.unwrap(), |seen| seen.output.contains("before")).await;
    let later = bench.restarted();
    assert_eq!(later.find(&spec.key).await.unwrap().as_ref(), Some(&handle));
    assert_eq!(later.owned().await.unwrap(), std::slice::from_ref(&handle));
    assert_eq!(later.reattach(&handle).await.unwrap(), Found::Running);
    let plan = later.prepare(&spec).await.unwrap();
    assert_eq!(later.launch(&plan, &Unheard).await.unwrap(), handle, "it is not started twice");
    fs_err::write(bench.folder().join("go"), "").unwrap();
    let seen = Seen::all(later.watch(&handle).await.unwrap()).await;
    assert_eq!(seen.report().exit, Exit::Code(4));
    assert!(seen.output.ends_with("after\n"), "{}", seen.output);
    assert_eq!(later.owned().await.unwrap(), [], "what is over is no stray");

    let again = Seen::all(bench.restarted().watch(&handle).await.unwrap()).await;
    assert_eq!((again.report().exit, again.output.as_str()), (Exit::Code(4), ""), "what was read is not read again");
    let Found::Exited(report) = bench.restarted().reattach(&handle).await.unwrap() else { panic!("it has ended") };
    assert_eq!(report.exit, Exit::Code(4));
    assert_eq!(bench.restarted().owned().await.unwrap(), []);
    later.cleanup(&handle).await.unwrap();
    bench.gone(&handle).await;
    assert_eq!(later.find(&spec.key).await.unwrap(), None);
    assert_eq!(bench.restarted().reattach(&handle).await.unwrap(), Found::Gone);
}

#[tokio::test]
async fn c114_what_happened_while_nobody_watched_is_told_rightly() {
    let bench = Bench::new().await;
    let node = bench.server.fake_node().await;
    let kinds: [(Value, Exit); 5] = [
        (json!([{"run": {"for_ms": 100}}]), Exit::Code(0)),
        (json!([{"run": {"for_ms": 100, "exit_code": 3}}]), Exit::Code(3)),
        (json!([{"oom": {"for_ms": 100}}]), Exit::OutOfMemory),
        (json!([{"run": {"for_ms": 100, "exit_code": 1}}, {"evict": {"message": "low on memory"}}]), Exit::Evicted),
        (
            json!([{"status": {"phase": "Failed", "reason": "Shutdown", "message": "Node is shutting down"}}]),
            Exit::NodeLost,
        ),
    ];
    let mut handles = Vec::new();
    for (steps, exit) in &kinds {
        handles.push((bench.launch(&bench.on_node(&node, steps)).await.unwrap(), *exit));
    }
    for (handle, _) in &handles {
        bench.job_once(handle, has_ended).await;
    }
    let begun = Instant::now();
    let later = bench.restarted();
    assert_eq!(later.owned().await.unwrap(), []);
    let told = handles.iter().map(|(handle, exit)| {
        let later = &later;
        let bench = &bench;
        async move {
            let Found::Exited(report) = bench.restarted().reattach(handle).await.unwrap() else {
                panic!("it has ended")
            };
            assert_eq!(report.exit, *exit, "{report:?}");
            let seen = Seen::all(later.watch(handle).await.unwrap()).await;
            assert_eq!(seen.report(), &report);
        }
    });
    futures::future::join_all(told).await;
    assert!(begun.elapsed() < TOLD_WITHIN);
}

#[tokio::test]
async fn a_pod_whose_node_is_deleted_is_replaced_or_lost_and_never_well() {
    let plane = PrivateControlPlane::start().await;
    let bench = Bench::on(&plane, |settings| settings).await;
    let (mut first, second) = (plane.fake_node().await, plane.fake_node().await);
    // As a scheduler does it, so that a replacement may get another node.
    let bind = async |pod: &Pod, node: &str| {
        let path = format!("/api/v1/namespaces/{}/pods/{}/binding", bench.namespace.name(), pod.name_any());
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod.name_any()},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        let request = http::Request::post(path).header("content-type", "application/json");
        bench.client.request::<Value>(request.body(binding.to_string().into_bytes()).unwrap()).await.unwrap();
    };
    let spec = scripted(bench.script(""), &json!([{"run": {"for_ms": 5000}}]));
    let handle = bench.launch(&spec).await.unwrap();
    let pod = bench.pod_once(&handle, |_| true).await;
    let name = pod.name_any();
    bind(&pod, first.name()).await;
    bench.pod_once(&handle, runs).await;
    first.delete_object().await;
    let pods: Api<Pod> = bench.pods();
    until(TOLD_WITHIN, "the pod to be collected", async || pods.get_opt(&name).await.unwrap().is_none().then_some(()))
        .await;
    let later = bench.restarted();
    let watched = later.watch(&handle).await.unwrap();
    let replacing = async {
        let pod = bench.pod_once(&handle, |pod| pod.name_any() != name).await;
        assert_eq!(later.reattach(&handle).await.unwrap(), Found::Running, "another pod takes its place");
        bind(&pod, second.name()).await;
    };
    let (seen, ()) = tokio::join!(Seen::all(watched), replacing);
    assert_eq!(seen.report().exit, Exit::Code(0), "{seen:#?}");
}

#[tokio::test]
async fn jobs_of_others_are_left_alone() {
    let (ours, theirs) = (Bench::new().await, Bench::new().await);
    let spec = with_manifest(theirs.script("exec sleep 600"), |manifest| {
        manifest["metadata"]["namespace"] = ours.namespace.name().into();
    });
    let spec = support::with_fields(spec, &json!({"namespace": ours.namespace.name()}));
    let handle = theirs.launch(&spec).await.unwrap();
    let mine: Vec<RunSpec> = (0..3).map(|_| ours.script("exec sleep 600")).collect();
    let mut keys = HashSet::new();
    for spec in &mine {
        keys.insert(ours.launch(spec).await.unwrap().key);
    }
    let owned =
        |handles: Vec<worker_core::handle::Handle>| handles.iter().map(|handle| handle.key).collect::<HashSet<_>>();
    assert_eq!(owned(ours.plugin.owned().await.unwrap()), keys);
    assert_eq!(owned(ours.restarted().owned().await.unwrap()), keys);
    ours.settings.owner.take_over(theirs.settings.owner.mark());
    keys.insert(handle.key);
    let taken_over = until(SOON, "a Job that was taken over", async || {
        let found = owned(ours.plugin.owned().await.unwrap());
        (found == keys).then_some(found)
    })
    .await;
    assert_eq!(taken_over, keys);
}

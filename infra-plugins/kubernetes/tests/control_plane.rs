//! API servers that go away, and runs on several clusters.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::Duration;

use futures::future::join_all;
use infra_contract::{Found, InfraPlugin as _, Killed, Named};
use kube::config::Kubeconfig;
use kubernetes_bed::{Component, FakeNode, PrivateControlPlane, until};
use serde_json::{Value, json};
use worker_core::exit::Exit;
use worker_core::handle::Handle;
use worker_core::machine::KillIntent;

use support::{Bench, SOON, job_name, runs, script_run, scripted, with_fields, with_pod};

const RUNS: u64 = 20;

/// A run that ends after a while with a code of its own.
async fn launch(bench: &Bench, node: &FakeNode) -> Vec<(Handle, Exit)> {
    let launched = (0..RUNS).map(|index| async move {
        let code = i32::try_from(index % 4).unwrap();
        let steps = json!([{"run": {"for_ms": 2000 + index * 400, "exit_code": code}}]);
        let spec = with_fields(bench.on_node(node, &steps), &json!({"stream_output": false}));
        (bench.launch(&spec).await.unwrap(), Exit::Code(code))
    });
    join_all(launched).await
}

async fn all_end_right(bench: &Bench, handles: &[(Handle, Exit)]) {
    let ends = handles.iter().map(|(handle, _)| bench.end_of(handle));
    for (report, (handle, exit)) in join_all(ends).await.into_iter().zip(handles) {
        assert_eq!(report.exit, *exit, "{}: {report:?}", job_name(handle));
    }
}

#[tokio::test]
async fn c114_an_api_server_that_is_killed_ends_no_run() {
    let mut plane = PrivateControlPlane::start().await;
    let node = plane.fake_node().await;
    let bench = Bench::on(&plane, |settings| settings).await;
    let handles = launch(&bench, &node).await;
    let killing = async {
        bench.pod_once(&handles[0].0, runs).await;
        plane.kill(Component::ApiServer);
        plane.restart(Component::ApiServer).await;
    };
    tokio::join!(all_end_right(&bench, &handles), killing);
}

#[tokio::test]
async fn c114_an_api_server_that_does_not_answer_for_a_while_ends_no_run() {
    let mut plane = PrivateControlPlane::start().await;
    let node = plane.fake_node().await;
    let bench = Bench::on(&plane, |settings| settings).await;
    let handles = launch(&bench, &node).await;
    let freezing = async {
        bench.pod_once(&handles[0].0, runs).await;
        plane.freeze(Component::ApiServer);
        // That it is away for so long is the condition.
        tokio::time::sleep(Duration::from_secs(8)).await;
        plane.thaw(Component::ApiServer);
    };
    tokio::join!(all_end_right(&bench, &handles), freezing);
}

#[tokio::test]
async fn c108_a_job_is_made_once_whether_the_server_answers_or_not() {
    let mut plane = PrivateControlPlane::start().await;
    let node = plane.fake_node().await;
    let bench = Bench::on(&plane, |settings| settings).await;
    plane.kill(Component::ApiServer);
    let spec = bench.on_node(&node, &json!([{"run": {"for_ms": 100}}]));
    let (launched, ()) = tokio::join!(bench.launch(&spec), async {
        until(SOON, "a launch that waits", async || bench.log.text().contains("waiting: ").then_some(())).await;
        plane.restart(Component::ApiServer).await;
    });
    let handle = launched.unwrap();
    assert_eq!(bench.end_of(&handle).await.exit, Exit::Code(0));
    let jobs = bench.jobs().list(&kube::api::ListParams::default()).await.unwrap();
    assert_eq!(jobs.items.len(), 1);
}

#[tokio::test]
async fn c111_runs_on_the_cluster_of_a_block_are_found_again() {
    let plane = PrivateControlPlane::start().await;
    let (node, namespace) = (plane.fake_node().await, plane.namespace().await);
    let (bench, there) = (Bench::new().await, Bench::on(&plane, |settings| settings).await);
    let kubeconfig = Kubeconfig::from_yaml(&plane.kubeconfig_text()).unwrap();
    let context = kubeconfig.current_context.clone().unwrap();
    let text = Value::String(plane.kubeconfig_text());
    let mut handles = Vec::new();
    for config in [serde_json::to_value(&kubeconfig).unwrap(), text] {
        let block = json!({"cluster_config": {"config": config, "context_name": context}});
        let spec = scripted(script_run(namespace.name(), ""), &json!([{"hang": {}}]));
        let spec = with_pod(spec, |pod| pod["nodeName"] = node.name().into());
        handles.push(bench.launch(&with_fields(spec, &block)).await.unwrap());
    }
    let here = bench.launch(&bench.script("exec sleep 600")).await.unwrap();
    let jobs: kube::Api<k8s_openapi::api::batch::v1::Job> =
        kube::Api::namespaced(there.client.clone(), namespace.name());
    for handle in &handles {
        assert!(jobs.get_opt(job_name(handle)).await.unwrap().is_some());
        assert!(bench.jobs().get_opt(job_name(handle)).await.unwrap().is_none());
    }
    let later = bench.restarted();
    let owned = later.owned().await.unwrap();
    assert_eq!(owned.len(), 3);
    for handle in handles.iter().chain([&here]) {
        assert!(owned.contains(handle));
        assert_eq!(later.find(&handle.key).await.unwrap().as_ref(), Some(handle));
        assert_eq!(later.reattach(handle).await.unwrap(), Found::Running);
        assert_eq!(later.named(&handle.infra_id).await.unwrap(), Named::Found(Box::new(handle.clone())));
    }
    let watched = later.watch(&handles[0]).await.unwrap();
    let (killed, seen) =
        tokio::join!(later.kill(&handles[0], KillIntent::Cancel, Duration::from_secs(5)), support::Seen::all(watched));
    assert_eq!(killed.unwrap(), Killed::Gracefully);
    assert_eq!(seen.report().exit, Exit::Code(143));
    for handle in &handles {
        later.kill(handle, KillIntent::Force, Duration::ZERO).await.unwrap();
        later.cleanup(handle).await.unwrap();
    }
    later.kill(&here, KillIntent::Force, Duration::ZERO).await.unwrap();
}

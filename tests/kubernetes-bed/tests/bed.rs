//! The bed itself: what other tests take for granted.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod};
use kube::api::{DeleteParams, ListParams, LogParams, PostParams};
use kube::{Api, ResourceExt as _};
use kubernetes_bed::{BUSYBOX, Cluster, Component, ON_DELETE, PrivateControlPlane, SCRIPT, until};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_mins(1);

fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn pod(name: &str, node: &str, annotations: &Value) -> Pod {
    object(json!({
        "metadata": {"name": name, "annotations": annotations},
        "spec": {
            "nodeName": node,
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": BUSYBOX}],
        },
    }))
}

fn scripted(name: &str, node: &str, script: &Value) -> Pod {
    pod(name, node, &json!({SCRIPT: script.to_string()}))
}

/// The pod once it is in a phase.
async fn in_phase(pods: &Api<Pod>, name: &str, phase: &str) -> Pod {
    until(SOON, format_args!("{name} to be {phase}"), async || {
        let pod = pods.get(name).await.unwrap();
        (pod.status.as_ref()?.phase.as_deref() == Some(phase)).then_some(pod)
    })
    .await
}

async fn gone(pods: &Api<Pod>, name: &str) {
    until(SOON, format_args!("{name} to be gone"), async || pods.get_opt(name).await.unwrap().is_none().then_some(()))
        .await;
}

/// State, reason and exit code of the first container.
fn container(pod: &Pod) -> (&'static str, String, i32) {
    let state = pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0].state.clone().unwrap();
    match (state.waiting, state.running, state.terminated) {
        (Some(waiting), None, None) => ("waiting", waiting.reason.unwrap_or_default(), 0),
        (None, Some(_), None) => ("running", String::new(), 0),
        (None, None, Some(terminated)) => ("terminated", terminated.reason.unwrap_or_default(), terminated.exit_code),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_job_runs_on_the_real_kubelet_and_its_log_can_be_read() {
    let cluster = Cluster::shared().await;
    let (client, namespace) = (cluster.client().await, cluster.namespace().await);
    let jobs = Api::<Job>::namespaced(client.clone(), namespace.name());
    let job: Job = object(json!({
        "metadata": {"name": "hello"},
        "spec": {"backoffLimit": 0, "ttlSecondsAfterFinished": 1, "template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": BUSYBOX, "command": ["sh", "-c", "echo hello; exit 3"]}],
        }}},
    }));
    jobs.create(&PostParams::default(), &job).await.unwrap();
    let pods = Api::<Pod>::namespaced(client, namespace.name());
    let name = until(SOON, "a pod of the job", async || {
        Some(pods.list(&ListParams::default().labels("job-name=hello")).await.unwrap().items.first()?.name_any())
    })
    .await;
    let pod = in_phase(&pods, &name, "Failed").await;
    assert_eq!(container(&pod), ("terminated", "Error".to_owned(), 3));
    assert_eq!(pods.logs(&name, &LogParams::default()).await.unwrap(), "hello\n");
    until(SOON, "the job to be removed", async || jobs.get_opt("hello").await.unwrap().is_none().then_some(())).await;
    gone(&pods, &name).await;
}

#[tokio::test]
async fn what_a_test_made_is_removed_with_it() {
    let cluster = Cluster::shared().await;
    let client = cluster.client().await;
    let (namespaces, nodes) = (Api::<Namespace>::all(client.clone()), Api::<Node>::all(client));
    let (namespace, node) = (cluster.namespace().await, cluster.fake_node().await);
    let names = [namespace.name(), node.name()].map(str::to_owned);
    drop((namespace, node));
    let [namespace, node] = names;
    assert!(nodes.get_opt(&node).await.unwrap().is_none());
    until(SOON, "the namespace to be gone", async || {
        namespaces.get_opt(&namespace).await.unwrap().is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_simulated_pod_goes_through_its_script() {
    let cluster = Cluster::shared().await;
    let (node, namespace) = (cluster.fake_node().await, cluster.namespace().await);
    let pods = Api::<Pod>::namespaced(cluster.client().await, namespace.name());
    let create = async |pod: Pod| pods.create(&PostParams::default(), &pod).await.map(drop).unwrap();
    create(pod("plain", node.name(), &json!({}))).await;
    create(scripted(
        "failing",
        node.name(),
        &json!([{"waiting": {"for_ms": 50}}, {"run": {"for_ms": 50, "exit_code": 4}}]),
    ))
    .await;
    create(scripted("greedy", node.name(), &json!([{"oom": {}}]))).await;
    create(scripted("no-image", node.name(), &json!([{"waiting": {"reason": "ImagePullBackOff"}}]))).await;
    create(scripted("evicted", node.name(), &json!([{"run": {"exit_code": 1}}, {"evict": {"message": "low"}}]))).await;
    create(scripted("again", node.name(), &json!([{"run": {"exit_code": 1}}, {"run": {}}]))).await;
    create(scripted("unreadable", node.name(), &json!([{"walk": {}}]))).await;

    let done = |reason: &str, code| ("terminated", reason.to_owned(), code);
    assert_eq!(container(&in_phase(&pods, "plain", "Succeeded").await), done("Completed", 0));
    assert_eq!(container(&in_phase(&pods, "failing", "Failed").await), done("Error", 4));
    assert_eq!(container(&in_phase(&pods, "greedy", "Failed").await), done("OOMKilled", 137));
    assert_eq!(in_phase(&pods, "evicted", "Failed").await.status.unwrap().reason.unwrap(), "Evicted");
    let again = in_phase(&pods, "again", "Succeeded").await;
    assert_eq!(again.status.unwrap().container_statuses.unwrap()[0].restart_count, 1);
    assert_eq!(in_phase(&pods, "unreadable", "Failed").await.status.unwrap().reason.unwrap(), "NoSuchScript");
    let waiting = until(SOON, "a reason to wait", async || {
        let pod = pods.get("no-image").await.unwrap();
        pod.status.as_ref()?.container_statuses.is_some().then_some(pod)
    })
    .await;
    assert_eq!(container(&waiting), ("waiting", "ImagePullBackOff".to_owned(), 0));
}

#[tokio::test]
async fn a_deleted_simulated_pod_ends_as_told_and_goes_away() {
    let cluster = Cluster::shared().await;
    let (node, namespace) = (cluster.fake_node().await, cluster.namespace().await);
    let pods = Api::<Pod>::namespaced(cluster.client().await, namespace.name());
    let script = json!([{"hang": {}}]).to_string();
    let stubborn = json!({SCRIPT: script, ON_DELETE: json!({"for_ms": 3000, "exit_code": 9}).to_string()});
    pods.create(&PostParams::default(), &pod("stubborn", node.name(), &stubborn)).await.unwrap();
    in_phase(&pods, "stubborn", "Running").await;
    pods.delete("stubborn", &DeleteParams::default()).await.unwrap();
    let ended = in_phase_before_gone(&pods, "stubborn").await;
    assert!(ended.is_none_or(|pod| container(&pod).2 == 9));
    gone(&pods, "stubborn").await;
}

/// A deleted pod that has failed, if it is seen before it is gone.
async fn in_phase_before_gone(pods: &Api<Pod>, name: &str) -> Option<Pod> {
    until(SOON, format_args!("{name} to end"), async || match pods.get_opt(name).await.unwrap() {
        None => Some(None),
        Some(pod) if pod.status.as_ref()?.phase.as_deref() == Some("Failed") => Some(Some(pod)),
        Some(_) => None,
    })
    .await
}

#[tokio::test]
async fn a_lost_node_leaves_its_pods_as_they_are_and_takes_its_object_along() {
    let cluster = Cluster::shared().await;
    let (mut node, namespace) = (cluster.fake_node().await, cluster.namespace().await);
    let client = cluster.client().await;
    let pods = Api::<Pod>::namespaced(client.clone(), namespace.name());
    let hanging = scripted("hanging", node.name(), &json!([{"hang": {}}]));
    pods.create(&PostParams::default(), &hanging).await.unwrap();
    in_phase(&pods, "hanging", "Running").await;
    node.lose();
    pods.delete("hanging", &DeleteParams::default()).await.unwrap();
    node.delete_object().await;
    assert!(Api::<Node>::all(client).get_opt(node.name()).await.unwrap().is_none());
    let left = pods.get("hanging").await.unwrap();
    assert_eq!(container(&left).0, "running");
}

#[tokio::test]
async fn an_account_may_do_what_its_rules_say_and_nothing_else() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace().await;
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]);
    let kubeconfig = cluster.account(&namespace, object(rules)).await;
    let client = kubernetes_bed::Server::client_of(&kubeconfig).await;
    assert_eq!(client.default_namespace(), namespace.name());
    Api::<Pod>::default_namespaced(client.clone()).list(&ListParams::default()).await.unwrap();
    let refused = Api::<Pod>::default_namespaced(client.clone()).get("any").await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.is_forbidden()), "{refused}");
    let refused = Api::<Job>::default_namespaced(client).list(&ListParams::default()).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.is_forbidden()), "{refused}");
}

#[tokio::test]
async fn a_private_control_plane_keeps_its_data_when_it_is_killed() {
    let mut plane = PrivateControlPlane::start().await;
    let (namespace, client) = (plane.namespace().await, plane.client().await);
    let maps = Api::<ConfigMap>::namespaced(client, namespace.name());
    maps.create(&PostParams::default(), &object(json!({"metadata": {"name": "kept"}}))).await.unwrap();
    plane.kill(Component::ApiServer);
    maps.get("kept").await.unwrap_err();
    plane.restart(Component::ApiServer).await;
    maps.get("kept").await.unwrap();

    plane.freeze(Component::ApiServer);
    tokio::time::timeout(Duration::from_millis(500), maps.get("kept")).await.unwrap_err();
    plane.thaw(Component::ApiServer);
    maps.get("kept").await.unwrap();

    let node = plane.fake_node().await;
    let pods = Api::<Pod>::namespaced(plane.client().await, namespace.name());
    let long = scripted("long", node.name(), &json!([{"run": {"for_ms": 1000}}]));
    pods.create(&PostParams::default(), &long).await.unwrap();
    in_phase(&pods, "long", "Running").await;
    plane.kill(Component::ApiServer);
    plane.kill(Component::Etcd);
    plane.restart(Component::Etcd).await;
    plane.restart(Component::ApiServer).await;
    in_phase(&pods, "long", "Succeeded").await;
}

#[tokio::test]
async fn a_server_notices_that_a_node_is_lost() {
    let plane = PrivateControlPlane::start().await;
    let mut node = plane.fake_node().await;
    let nodes = Api::<Node>::all(plane.client().await);
    let name = node.name().to_owned();
    let readiness = async || {
        let conditions = nodes.get(&name).await.unwrap().status?.conditions?;
        conditions.into_iter().find(|condition| condition.type_ == "Ready").map(|condition| condition.status)
    };
    assert_eq!(readiness().await.as_deref(), Some("True"));
    node.lose();
    until(SOON, "the loss to be noticed", async || (readiness().await? == "Unknown").then_some(())).await;
}

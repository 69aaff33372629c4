//! Many pods at once on a simulated node.

use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use kubernetes_bed::{BUSYBOX, Cluster, SCRIPT, until};
use serde_json::json;

const PODS: usize = 300;
const BOUND: Duration = Duration::from_mins(2);

#[tokio::test]
async fn a_simulated_node_keeps_up_with_many_pods() {
    let cluster = Cluster::shared().await;
    let (node, namespace) = (cluster.fake_node().await, cluster.namespace().await);
    let pods = Api::<Pod>::namespaced(cluster.client().await, namespace.name());
    let create = async |index: usize| {
        let pod = serde_json::from_value(json!({
            "metadata": {
                "name": format!("pod-{index}"),
                "annotations": {SCRIPT: json!([{"run": {"for_ms": 1000, "exit_code": index % 2}}]).to_string()},
            },
            "spec": {
                "nodeName": node.name(),
                "restartPolicy": "Never",
                "containers": [{"name": "main", "image": BUSYBOX}],
            },
        }));
        pods.create(&PostParams::default(), &pod.unwrap()).await.map(drop).unwrap();
    };
    futures::stream::iter(0..PODS).for_each_concurrent(32, create).await;

    let in_phase = async |phase: &str| {
        let listed = pods.list_metadata(&ListParams::default().fields(&format!("status.phase={phase}"))).await;
        listed.unwrap().items.len()
    };
    until(BOUND, "all pods to end", async || {
        (in_phase("Succeeded").await == PODS / 2 && in_phase("Failed").await == PODS / 2).then_some(())
    })
    .await;
    pods.delete_collection(&DeleteParams::default(), &ListParams::default()).await.map(drop).unwrap();
    until(BOUND, "all pods to be gone", async || {
        pods.list_metadata(&ListParams::default()).await.unwrap().items.is_empty().then_some(())
    })
    .await;
}

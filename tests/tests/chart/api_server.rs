//! What a real API server says of the objects, as they are for its version. It keeps none of them.

use kube::api::{DynamicObject, PostParams};
use kube::discovery::{ApiCapabilities, ApiResource, Discovery, Scope};
use kube::{Api, Client};
use kubernetes_bed::{Cluster, Namespace};
use serde_json::Value;
use worker_tests::harness::Chart;

/// Groups of operators, which the cluster does not have.
const FOREIGN: [&str; 2] = ["keda.sh", "monitoring.coreos.com"];

struct Server {
    client: Client,
    known: Discovery,
    namespace: Namespace,
}

impl Server {
    async fn new(cluster: &Cluster) -> Self {
        let client = cluster.client().await;
        let known = Discovery::new(client.clone()).run().await.unwrap();
        Self { client, known, namespace: cluster.namespace().await }
    }

    /// The kind of an object, which must be one of this server's unless it is an operator's.
    fn kind(&self, object: &Value) -> Option<(ApiResource, ApiCapabilities)> {
        let (version, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        if FOREIGN.contains(&group) {
            return None;
        }
        let resources = self.known.get(group).unwrap().versioned_resources(version);
        let found = resources.into_iter().find(|(resource, _)| resource.kind == kind);
        Some(found.unwrap_or_else(|| unreachable!("the server has no {kind} in {group}/{version}")))
    }

    /// Has an object created without keeping it.
    async fn takes(&self, object: &Value) -> Result<bool, kube::Error> {
        let Some((resource, capabilities)) = self.kind(object) else { return Ok(false) };
        let mut object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
        let api = match capabilities.scope {
            Scope::Cluster => Api::all_with(self.client.clone(), &resource),
            Scope::Namespaced => {
                // Namespaces of the values files are not there.
                object.metadata.namespace = Some(self.namespace.name().to_owned());
                Api::namespaced_with(self.client.clone(), self.namespace.name(), &resource)
            }
        };
        api.create(&PostParams { dry_run: true, ..PostParams::default() }, &object).await.map(|_| true)
    }
}

#[tokio::test]
async fn a_real_api_server_takes_what_each_values_file_becomes() {
    let cluster = Cluster::shared().await;
    let server = Server::new(&cluster).await;
    let chart = Chart::in_namespace(server.namespace.name());
    let mut files = Chart::values_files().await;
    // Helm asks the cluster for each kind. What these two have beside operators' kinds is the same for all versions.
    let mut releases = Vec::new();
    for name in ["keda", "metrics"] {
        releases.push(chart.render(&files.remove(name).unwrap()).await.unwrap().objects);
    }
    releases.extend(chart.for_cluster(cluster.kubeconfig(), files.values()).await);
    let (count, mut taken) = (releases.len(), 0);
    for object in releases.into_iter().flatten() {
        let answer = server.takes(&object).await;
        taken += usize::from(answer.unwrap_or_else(|error| unreachable!("{error}: {object}")));
    }
    assert!(taken > 5 * count, "{taken}");
}

/// Otherwise the test above could pass because nothing is looked at.
#[tokio::test]
async fn a_real_api_server_refuses_what_is_wrong() {
    let cluster = Cluster::shared().await;
    let server = Server::new(&cluster).await;
    let chart = Chart::in_namespace(server.namespace.name());
    let mut objects = chart.for_cluster(cluster.kubeconfig(), [&Chart::values("minimal").await]).await.remove(0);
    let deployment = objects.iter_mut().find(|object| object["kind"] == "Deployment").unwrap();
    deployment["spec"]["template"]["metadata"]["labels"] = serde_json::json!({"other": "labels"});
    let refusal = server.takes(deployment).await.unwrap_err().to_string();
    assert!(refusal.contains("selector"), "{refusal}");
}

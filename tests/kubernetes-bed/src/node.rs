//! A node without a machine.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::task::LocalSet;

use crate::pods::Pods;
use crate::server::{SOON, apart, object};
use crate::{Server, until};

/// A quarter of what the quickest server takes for a loss.
const HEARTBEAT: Duration = Duration::from_secs(3);
const AFTER_A_FAILURE: Duration = Duration::from_millis(500);
const LEASES: &str = "kube-node-lease";

/// A simulated node. Pods get to it only by `nodeName`, because the scheduler puts none there, and then do what their
/// annotation [`SCRIPT`](crate::SCRIPT) says. They have no logs: the server fails to get any.
///
/// It is an own thread, so that the clock and the work of a test's runtime do not count here. When it is dropped its object
/// is deleted, and what pods are left.
#[derive(Debug)]
pub struct FakeNode {
    server: Server,
    name: String,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl FakeNode {
    pub(crate) async fn start(server: &Server) -> Self {
        let name = format!("fake-{}", uuid::Uuid::new_v4().simple());
        let (stop, stopped) = watch::channel(false);
        let (ready, is_ready) = oneshot::channel();
        let (on, called) = (server.clone(), name.clone());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            LocalSet::new().block_on(&runtime, live(on, called, stopped, ready));
        });
        let node = Self { server: server.clone(), name, stop, thread: Some(thread) };
        let ready = tokio::time::timeout(SOON, is_ready).await;
        ready.expect("a node gets ready in time").expect("a simulated node starts");
        node
    }

    /// Its name, for the `nodeName` of pods.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Loses its connection: it reports nothing any more, and pods stay as they were last seen. The server notices after 40
    /// seconds, a [`PrivateControlPlane`](crate::PrivateControlPlane) after 13.
    pub fn lose(&mut self) {
        // Nobody listens where it was lost before.
        self.stop.send(true).unwrap_or_default();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause));
        }
    }

    /// Loses its connection for good: its object is deleted, as after the end of a machine in a cloud.
    pub async fn delete_object(&mut self) {
        self.lose();
        let nodes = Api::<Node>::all(self.server.client().await);
        nodes.delete(&self.name, &DeleteParams::default()).await.expect("the administrator may delete nodes");
    }
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.stop.send(true).unwrap_or_default();
        // It panics only where a test has failed already.
        self.thread.take().map(JoinHandle::join).transpose().map(drop).unwrap_or_default();
        let (server, name) = (self.server.clone(), self.name.clone());
        apart(async move {
            let client = server.client().await;
            // They may be gone, or the server may be.
            let nodes = Api::<Node>::all(client.clone());
            nodes.delete(&name, &DeleteParams::default()).await.map(drop).unwrap_or_default();
            let leases = Api::<Lease>::namespaced(client.clone(), LEASES);
            leases.delete(&name, &DeleteParams::default()).await.map(drop).unwrap_or_default();
            remove_pods(&client, &name).await.unwrap_or_default();
        });
    }
}

/// Otherwise they stay for a minute, and their namespaces with them.
async fn remove_pods(client: &Client, node: &str) -> kube::Result<()> {
    let of_node = ListParams::default().fields(&format!("spec.nodeName={node}"));
    let pods = Api::<Pod>::all(client.clone()).list_metadata(&of_node).await?;
    let now = DeleteParams::default().grace_period(0);
    for pod in pods {
        let pods = Api::<Pod>::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
        pods.delete(&pod.name_any(), &now).await.map(drop).unwrap_or_default();
    }
    Ok(())
}

async fn live(server: Server, name: String, mut stopped: watch::Receiver<bool>, ready: oneshot::Sender<()>) {
    let client = server.client().await;
    register(&client, &name).await;
    let mut pods = Pods::new(client.clone(), name.clone());
    // Nobody waits for it any more where the test has failed.
    ready.send(()).unwrap_or_default();
    tokio::select! {
        () = pods.drive() => {}
        () = beat(&client, &name) => {}
        // It also ends with the test.
        _ = stopped.wait_for(|stop| *stop) => {}
    }
}

async fn register(client: &Client, name: &str) {
    let params = PostParams::default();
    let nodes = Api::<Node>::all(client.clone());
    let node = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {"unschedulable": true},
        "status": status(),
    });
    nodes.create(&params, &object(node)).await.expect("the administrator may create nodes");
    let leases = Api::<Lease>::namespaced(client.clone(), LEASES);
    // The namespace is made by the server a moment after its start.
    until(SOON, "a lease of a node", async || leases.create(&params, &object(lease(name))).await.ok()).await;
}

/// It goes on reporting that it is well.
async fn beat(client: &Client, name: &str) {
    let leases = Api::<Lease>::namespaced(client.clone(), LEASES);
    loop {
        let renewed = leases.patch(name, &PatchParams::default(), &Patch::Merge(lease(name))).await;
        tokio::time::sleep(if renewed.is_ok() { HEARTBEAT } else { AFTER_A_FAILURE }).await;
    }
}

fn lease(name: &str) -> Value {
    let now = format!("{:.6}", Timestamp::now());
    json!({"metadata": {"name": name}, "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now}})
}

fn status() -> Value {
    let now = format!("{:.0}", Timestamp::now());
    let resources = json!({"cpu": "1000", "memory": "1000Gi", "pods": "110000", "ephemeral-storage": "1000Gi"});
    json!({
        "capacity": resources,
        "allocatable": resources,
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "simulated",
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        }],
        // Nothing listens there, so a request for a log fails at once.
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 1}},
        "nodeInfo": {
            "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "", "osImage": "simulated",
            "containerRuntimeVersion": "simulated://1", "kubeletVersion": "v1.20.2", "kubeProxyVersion": "v1.20.2",
            "operatingSystem": "linux", "architecture": "amd64",
        },
    })
}

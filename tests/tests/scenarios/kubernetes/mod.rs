//! Runs as Jobs: the built worker, a Kubernetes cluster, and the API in memory or a real server.

mod beside;
mod ends;
mod flows;
mod foreign;
mod image;
mod native_code;
mod operators;
mod release;
mod restarts;
mod runs;
mod slots;

use std::time::Duration;

use central_api_wire::state::StateType;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use kubernetes_bed::{BUSYBOX, Cluster, FakeNode, Namespace, SCRIPT};
use serde_json::{Map, Value, json};
use worker_core::ids::RunId;
use worker_tests::harness::{DaemonSpec, DeploymentSpec, Lab, LabPool, until, workspace_root};

pub(crate) use flows::flows_in_pods;

use crate::in_memory::InMemory;
use crate::marks::Marks;

/// Bound for what a cluster takes part in, on a machine with other work.
const PODS: Duration = Duration::from_mins(1);

/// An API in memory, and a namespace of the cluster with a pool for it.
struct Bed {
    it: InMemory,
    marks: Marks,
    pool: LabPool,
    cluster: Cluster,
    client: Client,
    namespace: Namespace,
}

impl Bed {
    async fn new() -> Self {
        let mut it = InMemory::start().await;
        it.lab.patience = PODS;
        let (cluster, marks) = (Cluster::shared().await, Marks::new());
        let (client, namespace) = (cluster.client().await, cluster.namespace().await);
        let pool = kubernetes_pool(&it.lab, namespace.name(), &[&marks], |_| {}).await;
        Self { it, marks, pool, cluster, client, namespace }
    }

    /// A pool whose pods go through a script on a simulated node.
    async fn scripted(&self, node: &FakeNode, script: &Value) -> LabPool {
        let change = |manifest: &mut Value| {
            let template = &mut manifest["spec"]["template"];
            template["spec"]["nodeName"] = node.name().into();
            template["metadata"]["annotations"][SCRIPT] = script.to_string().into();
        };
        kubernetes_pool(&self.it.lab, self.namespace.name(), &[], change).await
    }

    /// A worker that takes care of this namespace alone, among those of other tests.
    fn daemon_of(&self, pool: &LabPool) -> DaemonSpec {
        on_cluster(pool.daemon(), &self.cluster, &self.namespace)
    }

    fn daemon(&self) -> DaemonSpec {
        self.daemon_of(&self.pool)
    }

    /// A run of a command that knows nothing of Prefect, for which the worker reports.
    async fn command(&self, command: &str) -> RunId {
        run_with(&self.pool, &json!({"command": command, "report_state": "worker"})).await
    }

    /// A run of a command in the place of Prefect's engine.
    async fn engine(&self, command: &str) -> RunId {
        run_with(&self.pool, &json!({"command": command})).await
    }

    fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.client.clone(), self.namespace.name())
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), self.namespace.name())
    }

    async fn jobs_of(&self, run: RunId) -> Vec<Job> {
        self.jobs().list(&of_run(run)).await.unwrap().items
    }

    async fn pods_of(&self, run: RunId) -> Vec<Pod> {
        self.pods().list(&of_run(run)).await.unwrap().items
    }

    /// Lets the one run that was started come to its end: it was started once, and leaves nothing.
    async fn completes_as_started(&self, run: RunId) {
        self.marks.release();
        self.it.lab.reaches(run, StateType::Completed).await;
        let history = self.it.lab.history(run).await;
        assert_eq!(history.iter().filter(|name| *name == "Running").count(), 1, "{history:?}");
        assert_eq!(self.marks.made(), ["started"]);
        self.nothing_is_left(run).await;
    }

    /// Waits until neither Job nor pod of a run is left.
    async fn nothing_is_left(&self, run: RunId) {
        until(PODS, format!("what is left of run {run} to go"), async || {
            (self.jobs_of(run).await.is_empty() && self.pods_of(run).await.is_empty()).then_some(())
        })
        .await;
    }

    /// Waits until the Job of a run has a condition.
    async fn job_is(&self, run: RunId, condition: &str) {
        until(PODS, format!("the Job of run {run} to be {condition}"), async || {
            let job = self.jobs_of(run).await.pop()?;
            let conditions = job.status?.conditions?;
            conditions.iter().any(|it| it.type_ == condition && it.status == "True").then_some(())
        })
        .await;
    }

    async fn create(&self, job: Value) {
        let job: Job = serde_json::from_value(job).unwrap();
        self.jobs().create(&PostParams::default(), &job).await.unwrap();
    }

    /// Puts a run into a state, as what runs inside does.
    async fn puts(&self, run: RunId, state: Value) {
        self.it.lab.api.set_state(run, state, true).await;
    }
}

fn of_run(run: RunId) -> ListParams {
    ListParams::default().labels(&format!("prefect.io/flow-run-id={run}"))
}

fn on_cluster(daemon: DaemonSpec, cluster: &Cluster, namespace: &Namespace) -> DaemonSpec {
    daemon
        .env("WORKER_KUBERNETES_KUBECONFIG", cluster.kubeconfig())
        .env("PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES", namespace.name())
        .env("WORKER_KUBERNETES_CLEANUP", "remove")
}

/// A new pool of type kubernetes: the template that the worker would give it, with the namespace and the image of these tests,
/// folders of this machine, and a change of its own to the manifest.
async fn kubernetes_pool(lab: &Lab, namespace: &str, folders: &[&Marks], change: impl FnOnce(&mut Value)) -> LabPool {
    let path = workspace_root().join("infra-plugins/kubernetes/src/template.json");
    let mut template: Value = serde_json::from_str(&fs_err::read_to_string(path).unwrap()).unwrap();
    template["variables"]["properties"]["namespace"]["default"] = namespace.into();
    template["variables"]["properties"]["image"]["default"] = BUSYBOX.into();
    let manifest = &mut template["job_configuration"]["job_manifest"];
    let pod = &mut manifest["spec"]["template"]["spec"];
    let (mut volumes, mut mounts) = (Vec::new(), Vec::new());
    for (number, marks) in folders.iter().enumerate() {
        let (name, path) = (format!("marks-{number}"), marks.folder());
        volumes.push(json!({"name": name, "hostPath": {"path": path}}));
        mounts.push(json!({"name": name, "mountPath": path}));
    }
    pod["volumes"] = volumes.into();
    pod["containers"][0]["volumeMounts"] = mounts.into();
    change(manifest);
    let name = lab.fresh_name("kubernetes-pool");
    lab.api.create_pool(&name, "kubernetes", template.as_object().unwrap().clone()).await;
    lab.pool_named(&name).await
}

async fn run_with(pool: &LabPool, job_variables: &Value) -> RunId {
    let job_variables: Map<String, Value> = job_variables.as_object().unwrap().clone();
    pool.run(pool.deployment(DeploymentSpec { job_variables, ..DeploymentSpec::default() }).await).await
}

//! Releases of the Helm chart in the cluster: the worker in a pod, with no more rights than the chart gives it.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use central_api_wire::state::StateType;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::core::v1::{PersistentVolume, Pod, Secret};
use kube::Api;
use kube::api::{ListParams, LogParams, PostParams};
use serde_json::{Value, json};
use tempfile::TempDir;
use worker_tests::harness::{Chart, until};

use super::image::WorkerImage;
use super::{Bed, PODS, run_with};

/// A release for the pool of a bed.
struct Release {
    bed: Bed,
    chart: Chart,
    values: Value,
    _image: WorkerImage,
}

impl Release {
    /// Installed, with changes to the values that it needs here.
    async fn installed(bed: Bed, kind: &str, worker: Value) -> Self {
        let image = WorkerImage::build();
        let (repository, tag) = image.name().rsplit_once(':').unwrap();
        let api_port = bed.cluster.kubeconfig_text().split_once("https://127.0.0.1:").unwrap().1.to_owned();
        let api_port = api_port.split(|c: char| !c.is_ascii_digit()).next().unwrap();
        let values = json!({"worker": {
            "kind": kind,
            "image": {"repository": repository, "tag": tag},
            "config": {"workPool": bed.pool.name, "queryInterval": 0.25},
            "apiConfig": "selfHostedServer",
            "selfHostedServerApiConfig": {"apiUrl": bed.it.lab.api.api_url()},
            // Everything is on this machine's 127.0.0.1, and there is no proxy for services.
            "hostNetwork": true,
            "health": {"port": free_port()},
            "extraEnvVars": [
                {"name": "KUBERNETES_SERVICE_HOST", "value": "127.0.0.1"},
                {"name": "KUBERNETES_SERVICE_PORT", "value": api_port},
                {"name": "PREFECT_WORKER_HEARTBEAT_SECONDS", "value": "1"},
            ],
            "podAnnotations": {"generation": "first"},
        }});
        let chart = Chart::in_namespace(bed.namespace.name());
        let mut it = Self { bed, chart, values, _image: image };
        for (key, value) in worker.as_object().unwrap() {
            it.values["worker"][key] = value.clone();
        }
        it.chart.install(it.bed.cluster.kubeconfig(), &it.values, false).await;
        it.pod_other_than("").await;
        it
    }

    /// Rolled: the pod has to be replaced. Does not wait for that.
    async fn upgrade(&mut self) {
        self.values["worker"]["podAnnotations"]["generation"] = "second".into();
        self.chart.install(self.bed.cluster.kubeconfig(), &self.values, true).await;
    }

    /// Removed with its pods. The image of one that still runs would stay.
    async fn removed(self) {
        self.chart.uninstall(self.bed.cluster.kubeconfig()).await;
        until(PODS, "the pods to go", async || self.pods().await.is_empty().then_some(())).await;
    }

    async fn pods(&self) -> Vec<Pod> {
        let ours = ListParams::default().labels("app.kubernetes.io/component=worker");
        self.bed.pods().list(&ours).await.unwrap().items
    }

    /// Waits until the only pod is ready and not this one.
    async fn pod_other_than(&self, uid: &str) -> Pod {
        until(PODS, "the pod of the worker", async || {
            let mut pods = self.pods().await;
            let pod = pods.pop().filter(|pod| pods.is_empty() && uid_of(pod) != uid)?;
            let conditions = pod.status.as_ref()?.conditions.as_ref()?;
            let is_ready = conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True");
            (is_ready && pod.metadata.deletion_timestamp.is_none()).then_some(pod)
        })
        .await
    }

    async fn log_of(&self, pod: &Pod) -> String {
        self.bed.pods().logs(pod.metadata.name.as_ref().unwrap(), &LogParams::default()).await.unwrap()
    }

    /// Whether the worker's account may do something.
    async fn may(&self, namespace: &str, verb: &str, group: &str, resource: &str) -> bool {
        let user = format!("system:serviceaccount:{}:prefect-worker", self.bed.namespace.name());
        let wanted = json!({"namespace": namespace, "verb": verb, "group": group, "resource": resource});
        let review = json!({"spec": {"user": user, "resourceAttributes": wanted}});
        let review: SubjectAccessReview = serde_json::from_value(review).unwrap();
        let reviews = Api::<SubjectAccessReview>::all(self.bed.client.clone());
        reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
    }
}

fn uid_of(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap()
}

/// Not one that the system gives to outgoing connections: it must still be free when the pod comes.
fn free_port() -> u16 {
    let first = u16::try_from(std::process::id() % 1000).unwrap();
    let mut ports = (0..1000).map(|next| 23_000 + (first + next) % 1000);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// Pods run as users that are not root.
fn open_to_all(folder: &Path) {
    fs_err::set_permissions(folder, PermissionsExt::from_mode(0o777)).unwrap();
}

/// A volume of this machine for the first pod of a `StatefulSet`. It goes with the namespace.
async fn volume_for(bed: &Bed) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    open_to_all(folder.path());
    let namespace = bed.namespace.name();
    let namespaces = Api::<k8s_openapi::api::core::v1::Namespace>::all(bed.client.clone());
    let uid = namespaces.get(namespace).await.unwrap().metadata.uid;
    let owner = json!([{"apiVersion": "v1", "kind": "Namespace", "name": namespace, "uid": uid}]);
    let volume = json!({
        "metadata": {"name": namespace, "ownerReferences": owner},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"},
            "hostPath": {"path": folder.path()},
            "claimRef": {"namespace": namespace, "name": "state-prefect-worker-0"},
        },
    });
    let volume: PersistentVolume = serde_json::from_value(volume).unwrap();
    Api::all(bed.client.clone()).create(&PostParams::default(), &volume).await.unwrap();
    folder
}

#[tokio::test]
async fn a_stateful_worker_goes_on_with_its_runs_after_an_upgrade() {
    let bed = Bed::new().await;
    let _volume = volume_for(&bed).await;
    let state = json!({"storageClassName": ""});
    let settings = json!({"api": {"wait_for_api": true}, "kubernetes": {"cleanup": "remove"}});
    let mut release = Release::installed(bed, "StatefulSet", json!({"state": state, "settings": settings})).await;
    let first = release.pod_other_than("").await;
    let bed = &release.bed;
    let run = bed.command(&bed.marks.held_command(0)).await;
    bed.it.lab.reaches(run, StateType::Running).await;
    bed.marks.count(1).await;

    release.upgrade().await;
    let second = release.pod_other_than(uid_of(&first)).await;
    assert_eq!(
        (&first.metadata.name, second.metadata.name.as_deref()),
        (&second.metadata.name, Some("prefect-worker-0"))
    );
    let (bed, log) = (&release.bed, release.log_of(&second).await);
    assert!(log.contains("Taking over 1 runs") && log.contains("Worker 'prefect-worker-0' started!"), "{log}");
    bed.completes_as_started(run).await;
    release.removed().await;
}

/// The new worker knows nothing of the run of the old one. It must leave it alone, and take the next.
#[tokio::test]
async fn runs_go_on_while_a_deployment_is_upgraded() {
    let mut release = Release::installed(Bed::new().await, "Deployment", json!({})).await;
    let first = release.pod_other_than("").await;
    let bed = &release.bed;
    let run = bed.engine(&bed.marks.held_command(0)).await;
    bed.marks.count(1).await;
    bed.it.lab.until("infrastructure_pid", async || bed.it.lab.run(run).await.infrastructure_pid).await;
    // As the engine in the pod would say.
    bed.puts(run, json!({"type": "RUNNING"})).await;

    release.upgrade().await;
    release.pod_other_than(uid_of(&first)).await;
    let bed = &release.bed;
    let next = run_with(&bed.pool, &json!({"command": "true", "report_state": "worker"})).await;
    bed.it.lab.reaches(next, StateType::Completed).await;
    bed.marks.release();
    bed.job_is(run, "Complete").await;
    bed.puts(run, json!({"type": "COMPLETED"})).await;
    assert_eq!(bed.jobs_of(run).await.len(), 1);
    assert_eq!(bed.marks.made(), ["started"]);
    let history = bed.it.lab.history(run).await;
    assert_eq!(history.last().map(String::as_str), Some("Completed"), "{history:?}");
    assert!(!history.contains(&"Crashed".to_owned()), "{history:?}");
    release.removed().await;
}

/// A release whose runs are processes in its pod, which may take so many seconds when it is stopped.
async fn of_processes(drain_seconds: u32, grace_seconds: u32) -> Release {
    let mut bed = Bed::new().await;
    bed.pool = bed.it.lab.pool().await;
    open_to_all(bed.marks.folder());
    let folder = bed.marks.folder().to_str().unwrap();
    let worker = json!({
        "config": {"workPool": bed.pool.name, "type": "process", "queryInterval": 0.25},
        "shutdown": {"runs": "auto", "drainTimeoutSeconds": drain_seconds, "graceSeconds": grace_seconds},
        "extraVolumes": [{"name": "marks", "hostPath": {"path": folder}}],
        "extraVolumeMounts": [{"name": "marks", "mountPath": folder}],
    });
    Release::installed(bed, "Deployment", worker).await
}

/// Processes end with their pod, so it waits for them, and Kubernetes waits for the pod.
#[tokio::test]
async fn a_pod_with_processes_is_replaced_when_they_have_ended() {
    let mut release = of_processes(300, 5).await;
    let first = release.pod_other_than("").await;
    assert_eq!(grace_of(&first), 325);
    let run = release.bed.command(&release.bed.marks.held_command(0)).await;
    release.bed.it.lab.reaches(run, StateType::Running).await;
    release.bed.marks.count(1).await;

    release.upgrade().await;
    until(PODS, "the pod to wait for its run", async || {
        let is_stopping = release.pods().await.iter().any(|pod| pod.metadata.deletion_timestamp.is_some());
        (is_stopping && release.log_of(&first).await.contains("waiting up to 300s for 1 runs to end")).then_some(())
    })
    .await;
    let lab = &release.bed.it.lab;
    assert_eq!(lab.run(run).await.state_type, Some(StateType::Running));
    release.bed.marks.release();
    lab.reaches(run, StateType::Completed).await;
    release.pod_other_than(uid_of(&first)).await;
    assert_eq!(release.bed.marks.made(), ["started"]);
    release.removed().await;
}

/// Kubernetes kills what is left after the grace period, and then nobody would say what became of the run.
#[tokio::test]
async fn a_pod_whose_processes_do_not_end_stops_and_reports_them_in_its_grace_period() {
    let mut release = of_processes(2, 1).await;
    let first = release.pod_other_than("").await;
    assert_eq!(grace_of(&first), 23);
    let endless = release.bed.marks.shell("trap true TERM; echo started >> marks; while :; do sleep 0.1; done");
    let run = release.bed.command(&endless).await;
    release.bed.it.lab.reaches(run, StateType::Running).await;
    release.bed.marks.count(1).await;

    release.upgrade().await;
    let message = release.bed.it.lab.reaches(run, StateType::Crashed).await.message.unwrap();
    assert!(message.contains("was stopped and ended it"), "{message}");
    release.pod_other_than(uid_of(&first)).await;
    release.removed().await;
}

fn grace_of(pod: &Pod) -> i64 {
    pod.spec.as_ref().unwrap().termination_grace_period_seconds.unwrap()
}

#[tokio::test]
async fn a_worker_executes_runs_with_the_role_of_the_chart_and_may_do_nothing_else() {
    let release = Release::installed(Bed::new().await, "Deployment", json!({})).await;
    let bed = &release.bed;
    let env = json!({"GREETING": "hello", "SOME_TOKEN": "canary-of-a-token"});
    let command = bed.marks.shell("echo ${SOME_TOKEN#canary-} >> marks");
    let variables = json!({"command": command, "report_state": "worker", "env": env});
    let run = run_with(&bed.pool, &variables).await;
    bed.it.lab.reaches(run, StateType::Completed).await;
    bed.it.lab.executed(run).await;
    assert_eq!(bed.marks.made(), ["of-a-token"]);
    let secrets = Api::<Secret>::namespaced(bed.client.clone(), bed.namespace.name());
    let of_run = ListParams::default().labels("worker.prefect.io/run");
    until(PODS, "the Secret of the run to go", async || {
        secrets.list(&of_run).await.unwrap().items.is_empty().then_some(())
    })
    .await;

    let (own, other) = (bed.namespace.name(), "default");
    for (verb, group, resource) in [("create", "batch", "jobs"), ("get", "", "secrets"), ("watch", "", "pods")] {
        assert!(release.may(own, verb, group, resource).await, "{verb} {resource}");
        assert!(!release.may(other, verb, group, resource).await, "{verb} {resource} elsewhere");
    }
    for (verb, group, resource) in [
        ("list", "", "secrets"),
        ("create", "", "pods"),
        ("create", "", "pods/exec"),
        ("update", "batch", "jobs"),
        ("create", "rbac.authorization.k8s.io", "roles"),
        ("get", "", "nodes"),
    ] {
        assert!(!release.may(own, verb, group, resource).await, "{verb} {resource}");
    }
    release.removed().await;
}

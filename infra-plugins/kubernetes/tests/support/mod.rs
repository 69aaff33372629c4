//! A plugin on the cluster of the test bed, in a namespace of its own, and runs in small pods.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

pub(crate) mod clock;
pub(crate) mod scripted;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use camino::Utf8Path;
use futures::StreamExt as _;
use infra_contract::{ErrorClass, EventStream, InfraError, InfraEvent, InfraPlugin as _, LaunchLog, Occurrence, Owner};
use infra_kubernetes::{Cleanup, KubernetesPlugin, KubernetesSettings, Secrets};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use kubernetes_bed::{BUSYBOX, Cluster, FakeNode, Namespace, SCRIPT, Server, until};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use uuid::Uuid;
use worker_core::exit::ExitReport;
use worker_core::handle::Handle;
use worker_core::ids::{LaunchKey, RunId, TransitionId};
use worker_core::spec::{ReportState, RunSpec};

/// Longer than anything on the bed takes.
pub(crate) const SOON: Duration = Duration::from_secs(90);
/// The version of the client that the plugin passes for.
pub(crate) const VERSION: &str = "3.8.0";

/// What a launch said.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// What was said of the launch having to wait.
    pub(crate) fn waits(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().filter(|line| line.starts_with("waiting: ")).cloned().collect()
    }

    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}

#[async_trait::async_trait]
impl LaunchLog for Log {
    fn info(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }

    fn warn(&self, text: String) {
        self.0.lock().unwrap().push(format!("warning: {text}"));
    }

    async fn waiting(&self, why: &str) {
        self.0.lock().unwrap().push(format!("waiting: {why}"));
    }
}

/// Settings of a daemon of its own, on the cluster of a kubeconfig.
pub(crate) fn settings(kubeconfig: &Utf8Path, folder: &Utf8Path) -> KubernetesSettings {
    KubernetesSettings {
        owner: Owner::new(Uuid::new_v4().to_string()),
        state_directory: folder.join("kubernetes"),
        kubeconfig: Some(kubeconfig.to_string()),
        context: None,
        namespaces: Vec::new(),
        label_filters: BTreeMap::new(),
        observe: true,
        replicate_pod_events: true,
        forward_crashed_run_logs: true,
        forward_crashed_run_logs_tail_lines: 500,
        startup_event_concurrency: 5,
        api_key_secret: None,
        api_auth_string_secret: None,
        create_secret_for_api_key: false,
        store_env_as_secret: false,
        secrets: Secrets::Secret,
        create_deadline: Duration::from_secs(30),
        cleanup: Cleanup::Remove,
        cleanup_ttl: Duration::from_hours(1),
        image_pull_deadline: Some(Duration::from_mins(5)),
        start_deadline: None,
        init_image: None,
    }
}

/// A plugin of its own owner, in a namespace of its own.
pub(crate) struct Bench {
    pub(crate) plugin: Arc<KubernetesPlugin>,
    pub(crate) settings: KubernetesSettings,
    pub(crate) log: Log,
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) namespace: Namespace,
    directory: TempDir,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(|settings| settings).await
    }

    /// With other settings.
    pub(crate) async fn with(change: impl FnOnce(KubernetesSettings) -> KubernetesSettings) -> Self {
        let cluster = Cluster::shared().await;
        Self::on(&cluster, change).await
    }

    /// On another API server.
    pub(crate) async fn on(server: &Server, change: impl FnOnce(KubernetesSettings) -> KubernetesSettings) -> Self {
        let server = server.clone();
        let client = server.client().await;
        let namespace = server.namespace().await;
        let directory = tempfile::tempdir().unwrap();
        let kubeconfig = Utf8Path::from_path(server.kubeconfig()).unwrap().to_owned();
        let settings = change(settings(&kubeconfig, Utf8Path::from_path(directory.path()).unwrap()));
        let plugin = Arc::new(KubernetesPlugin::new(settings.clone(), BUSYBOX, VERSION));
        Self { plugin, settings, log: Log::default(), server, client, namespace, directory }
    }

    /// The same daemon after a restart: nothing is remembered but what is on disk.
    pub(crate) fn restarted(&self) -> KubernetesPlugin {
        KubernetesPlugin::new(self.settings.clone(), BUSYBOX, VERSION)
    }

    /// A run of a shell script.
    pub(crate) fn script(&self, script: &str) -> RunSpec {
        script_run(self.namespace.name(), script)
    }

    pub(crate) async fn launch(&self, spec: &RunSpec) -> Result<Handle, InfraError> {
        let plan = self.plugin.prepare(spec).await?;
        self.plugin.launch(&plan, &self.log).await
    }

    /// Watches a run to its end, as a worker does: a watch that cannot begin is begun again.
    pub(crate) async fn end_of(&self, handle: &Handle) -> ExitReport {
        let events = until(SOON, "a watch to begin", async || match self.plugin.watch(handle).await {
            Err(error) if error.class == ErrorClass::Transient => None,
            begun => Some(begun.unwrap()),
        })
        .await;
        Seen::all(events).await.report().clone()
    }

    /// The same run with a folder of this machine at `/shared`.
    pub(crate) fn sharing(&self, spec: RunSpec) -> RunSpec {
        let folder = self.folder().to_owned();
        with_manifest(spec, |manifest| {
            let pod = &mut manifest["spec"]["template"]["spec"];
            pod["volumes"] = json!([{"name": "shared", "hostPath": {"path": folder}}]);
            pod["containers"][0]["volumeMounts"] = json!([{"name": "shared", "mountPath": "/shared"}]);
        })
    }

    pub(crate) fn folder(&self) -> &Utf8Path {
        Utf8Path::from_path(self.directory.path()).unwrap()
    }

    /// A run that a simulated node carries out.
    pub(crate) fn on_node(&self, node: &FakeNode, steps: &Value) -> RunSpec {
        let name = node.name().to_owned();
        with_manifest(scripted(self.script("exit 0"), steps), |manifest| {
            manifest["spec"]["template"]["spec"]["nodeName"] = name.into();
        })
    }

    /// Runs to the end.
    pub(crate) async fn run(&self, spec: &RunSpec) -> Seen {
        let handle = self.launch(spec).await.unwrap();
        Seen::all(self.plugin.watch(&handle).await.unwrap()).await
    }

    pub(crate) fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.client.clone(), self.namespace.name())
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), self.namespace.name())
    }

    /// The Job of a handle, once it is as it is to be.
    pub(crate) async fn job_once(&self, handle: &Handle, is_it: impl Fn(&Job) -> bool) -> Job {
        let jobs = self.jobs();
        until(SOON, "a Job to change", async || jobs.get_opt(job_name(handle)).await.unwrap().filter(|job| is_it(job)))
            .await
    }

    /// A pod of a handle's Job, once it is as it is to be.
    pub(crate) async fn pod_once(&self, handle: &Handle, is_it: impl Fn(&Pod) -> bool) -> Pod {
        until(SOON, "a pod to change", async || self.pods_of(handle).await.into_iter().find(|pod| is_it(pod))).await
    }

    /// Waits until nothing of a Job is left.
    pub(crate) async fn gone(&self, handle: &Handle) {
        let jobs = self.jobs();
        until(SOON, "a Job and its pods to be gone", async || {
            let is_gone =
                jobs.get_opt(job_name(handle)).await.unwrap().is_none() && self.pods_of(handle).await.is_empty();
            is_gone.then_some(())
        })
        .await;
    }

    /// The pods of a Job.
    pub(crate) async fn pods_of(&self, handle: &Handle) -> Vec<Pod> {
        let params = ListParams::default().labels(&format!("job-name={}", job_name(handle)));
        self.pods().list(&params).await.unwrap().items
    }
}

/// The name of a handle's Job.
pub(crate) fn job_name(handle: &Handle) -> &str {
    handle.infra_id.0.rsplit_once(':').unwrap().1
}

/// Whether a pod runs.
pub(crate) fn runs(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
}

/// Whether a Job says that it has ended.
pub(crate) fn has_ended(job: &Job) -> bool {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| matches!(condition.type_.as_str(), "Complete" | "Failed"))
}

/// An error with its causes and what to do about it.
pub(crate) fn text_of(error: &InfraError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    format!("{text} [{}]", error.hint.as_deref().unwrap_or_default())
}

/// The name of the Secret of an execution.
pub(crate) fn secret_name(handle: &Handle) -> String {
    let claim = handle.key.claim.0.simple().to_string();
    format!("prefect-env-{}-{}", handle.key.run, &claim[..8])
}

/// What a watch told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) output: String,
    pub(crate) log_lines: Vec<String>,
    pub(crate) occurrences: Vec<Occurrence>,
    pub(crate) diagnoses: Vec<String>,
    pub(crate) waiting: Vec<String>,
    pub(crate) is_started: bool,
    pub(crate) end: Option<ExitReport>,
}

impl Seen {
    /// Everything up to the end.
    pub(crate) async fn all(events: EventStream) -> Self {
        Self::until(events, |_| false).await
    }

    /// Everything up to the end, or until enough was seen.
    pub(crate) async fn until(mut events: EventStream, enough: impl Fn(&Self) -> bool) -> Self {
        let mut seen = Self::default();
        let told = async {
            while let Some(event) = events.next().await {
                seen.take(event.unwrap());
                if enough(&seen) {
                    break;
                }
            }
        };
        let in_time = tokio::time::timeout(SOON, told).await;
        assert!(in_time.is_ok(), "nothing more came: {seen:#?}");
        seen
    }

    pub(crate) fn take(&mut self, event: InfraEvent) {
        match event {
            InfraEvent::Output { text, .. } => self.output.push_str(&text),
            InfraEvent::LogLine { text, .. } => self.log_lines.push(text),
            InfraEvent::Occurred(occurrence) => self.occurrences.push(*occurrence),
            InfraEvent::Exited(report) => self.end = Some(report),
            InfraEvent::Diagnosis { text, .. } => self.diagnoses.push(text),
            InfraEvent::Waiting(why) => self.waiting.push(why),
            InfraEvent::Started => self.is_started = true,
        }
    }

    pub(crate) fn report(&self) -> &ExitReport {
        self.end.as_ref().expect("it ended")
    }

    pub(crate) fn events(&self) -> Vec<&str> {
        self.occurrences.iter().map(|occurrence| occurrence.event.as_str()).collect()
    }
}

/// A run of a shell script on the small image.
pub(crate) fn script_run(namespace: &str, script: &str) -> RunSpec {
    let run = RunId(Uuid::new_v4());
    let mut manifest = default_manifest();
    manifest["metadata"]["namespace"] = namespace.into();
    manifest["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 30.into();
    RunSpec {
        key: LaunchKey { run, claim: TransitionId(Uuid::new_v4()) },
        flow_run_name: "cute-crab".to_owned(),
        name: "cute-crab".to_owned(),
        command: Some(shell_words::join(["sh", "-c", script])),
        env: BTreeMap::new(),
        env_from: Vec::new(),
        configured_env: BTreeSet::new(),
        worker_settings: BTreeMap::new(),
        labels: BTreeMap::from([
            ("prefect.io/flow-run-id".to_owned(), run.to_string()),
            ("prefect.io/flow-run-name".to_owned(), "cute-crab".to_owned()),
        ]),
        fields: fields(&json!({"namespace": namespace, "job_manifest": manifest})),
        block_texts: BTreeSet::new(),
        code: None,
        entrypoint: None,
        report_state: ReportState::Engine,
    }
}

/// What the default template makes of a run without job variables, but for the image.
pub(crate) fn default_manifest() -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"annotations": {}, "labels": {}, "namespace": "default", "generateName": "-"},
        "spec": {"backoffLimit": 0, "template": {"spec": {
            "parallelism": 1, "completions": 1, "restartPolicy": "Never",
            "containers": [{"name": "prefect-job", "image": BUSYBOX, "imagePullPolicy": "IfNotPresent",
                            "resources": {"limits": {}, "requests": {}}}],
        }}},
    })
}

/// Changes the Job manifest of a run.
pub(crate) fn with_manifest(mut spec: RunSpec, change: impl FnOnce(&mut Value)) -> RunSpec {
    change(&mut spec.fields["job_manifest"]);
    spec
}

/// What simulated pods of a run do.
pub(crate) fn scripted(spec: RunSpec, steps: &Value) -> RunSpec {
    with_manifest(spec, |manifest| {
        manifest["spec"]["template"]["metadata"]["annotations"][SCRIPT] = steps.to_string().into();
    })
}

/// Changes the pod of a run.
pub(crate) fn with_pod(spec: RunSpec, change: impl FnOnce(&mut Value)) -> RunSpec {
    with_manifest(spec, |manifest| change(&mut manifest["spec"]["template"]["spec"]))
}

/// Adds fields of the job configuration.
pub(crate) fn with_fields(mut spec: RunSpec, more: &Value) -> RunSpec {
    spec.fields.extend(fields(more));
    spec
}

/// Adds variables of the job configuration.
pub(crate) fn with_env(mut spec: RunSpec, env: &[(&str, &str)]) -> RunSpec {
    for (name, value) in env {
        spec.env.insert((*name).to_owned(), (*value).to_owned());
        spec.configured_env.insert((*name).to_owned());
    }
    spec
}

fn fields(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

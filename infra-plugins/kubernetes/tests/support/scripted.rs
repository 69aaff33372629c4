//! A plugin on the scripted Kubernetes API service.

use std::sync::Arc;
use std::time::Duration;

use camino::Utf8Path;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use infra_contract::{InfraError, InfraPlugin as _, Observed};
use infra_kubernetes::{KubernetesPlugin, KubernetesSettings};
use kubernetes_api::{Api, PodState, Verb};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;
use worker_core::exit::ExitReport;
use worker_core::handle::Handle;
use worker_core::spec::RunSpec;

use super::{Log, Seen, VERSION, job_name, script_run, settings, with_env};

/// Much longer than anything here takes, also by a fast clock.
pub(crate) const BOUND: Duration = Duration::from_mins(30);
/// The container of flows.
pub(crate) const FLOW: &str = "prefect-job";

/// A plugin of its own owner, before an API server of its own.
pub(crate) struct Scripted {
    pub(crate) api: Api,
    pub(crate) plugin: Arc<KubernetesPlugin>,
    pub(crate) settings: KubernetesSettings,
    pub(crate) log: Log,
    directory: TempDir,
}

impl Scripted {
    pub(crate) async fn new() -> Self {
        Self::with(|settings| settings).await
    }

    /// With other settings.
    pub(crate) async fn with(change: impl FnOnce(KubernetesSettings) -> KubernetesSettings) -> Self {
        let api = Api::start().await;
        let directory = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(directory.path()).unwrap();
        let kubeconfig = folder.join("kubeconfig");
        fs_err::write(&kubeconfig, api.kubeconfig()).unwrap();
        let settings = change(settings(&kubeconfig, folder));
        let plugin = Arc::new(KubernetesPlugin::new(settings.clone(), "flows:1", VERSION));
        Self { api, plugin, settings, log: Log::default(), directory }
    }

    /// The same daemon after a restart: nothing is remembered but what is on disk.
    pub(crate) fn restarted(&self) -> KubernetesPlugin {
        KubernetesPlugin::new(self.settings.clone(), "flows:1", VERSION)
    }

    pub(crate) async fn launch(&self, spec: &RunSpec) -> Result<Handle, InfraError> {
        let plan = self.plugin.prepare(spec).await?;
        self.plugin.launch(&plan, &self.log).await
    }

    /// A run that was launched and is watched.
    pub(crate) async fn start(&self, spec: &RunSpec) -> Watched {
        let handle = self.launch(spec).await.unwrap();
        self.watch(handle).await
    }

    pub(crate) async fn watch(&self, handle: Handle) -> Watched {
        let mut events = self.plugin.watch(&handle).await.unwrap();
        let (told, seen) = watch::channel(Seen::default());
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            while let Some(event) = events.next().await {
                told.send_modify(|seen| seen.take(event.unwrap()));
            }
        }));
        Watched { handle, seen, _task: task }
    }

    /// A run whose pod runs, as the plugin knows.
    pub(crate) async fn start_running(&self, spec: &RunSpec) -> (Watched, String) {
        let mut watched = self.start(spec).await;
        let pod = self.api.pod_of(watched.job()).await;
        self.api.set_pod(&pod, &PodState::Running);
        watched.until("it runs", |seen| seen.is_started).await;
        (watched, pod)
    }

    /// Requests that are neither watches, nor logs, nor the lists that watches begin with.
    pub(crate) fn calls(&self) -> Vec<String> {
        let requests = self.api.requests().into_iter();
        let own = requests.filter(|request| {
            let is_scope = !request.path.contains("/namespaces/") && request.verb == Verb::List;
            request.verb != Verb::Watch && request.subresource != "log" && !is_scope
        });
        own.map(|request| request.to_string()).collect()
    }

    /// A Job of Prefect's own worker.
    pub(crate) fn put_foreign_job(&self, namespace: &str, name: &str, run: Uuid, more: &Value) {
        let mut labels = json!({"prefect.io/flow-run-id": run, "prefect.io/flow-run-name": name});
        for (label, value) in more.as_object().into_iter().flatten() {
            labels[label.as_str()] = value.clone();
        }
        let container = json!({"name": FLOW, "image": "flows:1"});
        let job = json!({
            "metadata": {"labels": labels},
            "spec": {"backoffLimit": 0, "completions": 1, "parallelism": 1, "template": {
                "metadata": {"labels": merged(&labels, &json!({"job-name": name}))},
                "spec": {"restartPolicy": "Never", "containers": [container]},
            }},
        });
        self.api.put("jobs", namespace, name, job);
    }
}

fn merged(one: &Value, other: &Value) -> Value {
    let mut all = one.clone();
    for (key, value) in other.as_object().into_iter().flatten() {
        all[key.as_str()] = value.clone();
    }
    all
}

/// A run without secrets.
pub(crate) fn plain() -> RunSpec {
    script_run("default", "true")
}

/// A run with a secret.
pub(crate) fn secretive() -> RunSpec {
    with_env(plain(), &[("PREFECT_API_KEY", "canary-api-key")])
}

/// A run that is watched.
pub(crate) struct Watched {
    pub(crate) handle: Handle,
    seen: watch::Receiver<Seen>,
    _task: AbortOnDropHandle<()>,
}

impl Watched {
    pub(crate) fn job(&self) -> &str {
        job_name(&self.handle)
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    pub(crate) async fn until(&mut self, what: &str, check: impl Fn(&Seen) -> bool) -> Seen {
        let found = tokio::time::timeout(BOUND, self.seen.wait_for(|seen| check(seen))).await;
        let found = found.ok().and_then(Result::ok).map(|seen| seen.clone());
        found.unwrap_or_else(|| panic!("{what}: {:#?}", self.seen()))
    }

    pub(crate) async fn end(&mut self) -> ExitReport {
        self.until("it ends", |seen| seen.end.is_some()).await.end.unwrap()
    }
}

/// What an observer tells.
pub(crate) struct Observing {
    stream: BoxStream<'static, Observed>,
    pub(crate) seen: Vec<Observed>,
}

impl Observing {
    /// What is observed from now on.
    pub(crate) fn begin(plugin: &KubernetesPlugin) -> Self {
        Self { stream: plugin.observer().unwrap().observations(), seen: Vec::new() }
    }

    pub(crate) async fn until(&mut self, what: &str, check: impl Fn(&[Observed]) -> bool) {
        let enough = async {
            while !check(&self.seen) {
                self.seen.push(self.stream.next().await.unwrap());
            }
        };
        let in_time = tokio::time::timeout(BOUND, enough).await;
        assert!(in_time.is_ok(), "{what}: {:#?}", self.seen);
    }
}

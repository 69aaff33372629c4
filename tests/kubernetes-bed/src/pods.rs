//! The pods of a simulated node.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, spawn_local};

use crate::script::{Evict, ON_DELETE, OnDelete, Run, SCRIPT, Step};

/// How many requests are under way at once.
const REQUESTS: usize = 64;
const AFTER_A_FAILURE: Duration = Duration::from_millis(200);
/// As long as a server may be away.
const ATTEMPTS: usize = 600;

/// What is known of all pods of a node.
pub(crate) struct Pods {
    client: Client,
    node: String,
    requests: Arc<Semaphore>,
    known: HashMap<String, Known>,
    /// Those that a list has not named so far, while one is under way.
    unlisted: HashSet<String>,
}

/// A pod that is being driven. That ends when this is dropped.
struct Known {
    deleting: bool,
    task: AbortHandle,
}

impl Drop for Known {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Pods {
    pub(crate) fn new(client: Client, node: String) -> Self {
        let requests = Arc::new(Semaphore::new(REQUESTS));
        Self { client, node, requests, known: HashMap::new(), unlisted: HashSet::new() }
    }

    /// Drives pods for good, in a [`LocalSet`](tokio::task::LocalSet).
    pub(crate) async fn drive(&mut self) {
        let mut events = pin!(self.events());
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Apply(pod)) => self.see(pod),
                Ok(Event::Init) => self.unlisted = self.known.keys().cloned().collect(),
                Ok(Event::InitApply(pod)) => {
                    self.unlisted.remove(&pod.uid().unwrap_or_default());
                    self.see(pod);
                }
                Ok(Event::InitDone) => {
                    for uid in std::mem::take(&mut self.unlisted) {
                        self.known.remove(&uid);
                    }
                }
                Ok(Event::Delete(pod)) => {
                    self.known.remove(&pod.uid().unwrap_or_default());
                }
                // The server is away, and is asked again.
                Err(_) => {}
            }
        }
    }

    fn events(&self) -> impl Stream<Item = watcher::Result<Event<Pod>>> + use<> {
        let config = watcher::Config::default().fields(&format!("spec.nodeName={}", self.node));
        watcher(Api::all(self.client.clone()), config).default_backoff()
    }

    fn see(&mut self, pod: Pod) {
        let uid = pod.uid().unwrap_or_default();
        let deleting = pod.metadata.deletion_timestamp.is_some();
        match self.known.get(&uid) {
            Some(known) if known.deleting || !deleting => {}
            // What it did until now ends with what is replaced here.
            Some(_) | None => {
                let driver = Driver::new(self, pod);
                let task = spawn_local(async move { if deleting { driver.end().await } else { driver.play().await } });
                self.known.insert(uid, Known { deleting, task: task.abort_handle() });
            }
        }
    }
}

/// Drives one pod.
struct Driver {
    pods: Api<Pod>,
    pod: Pod,
    requests: Arc<Semaphore>,
    started: Value,
    restarts: usize,
    /// The state before the last start of the containers.
    last: Value,
}

/// The state that containers are in.
struct Containers {
    phase: &'static str,
    ready: bool,
    state: Value,
}

impl Driver {
    fn new(pods: &Pods, pod: Pod) -> Self {
        Self {
            pods: Api::namespaced(pods.client.clone(), &pod.namespace().unwrap_or_default()),
            requests: Arc::clone(&pods.requests),
            started: pod
                .status
                .as_ref()
                .and_then(|status| status.start_time.clone())
                .map_or_else(now, |time| json!(time)),
            pod,
            restarts: 0,
            last: json!({}),
        }
    }

    fn phase(&self) -> &str {
        self.pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
    }

    fn over(&self) -> bool {
        ["Succeeded", "Failed"].contains(&self.phase())
    }

    fn annotation<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, String> {
        let text = self.pod.annotations().get(name);
        text.map(|text| serde_json::from_str(text).map_err(|error| format!("{name}: {error}"))).transpose()
    }

    async fn play(mut self) {
        if self.over() {
            return;
        }
        let steps = match self.annotation::<Vec<Step>>(SCRIPT) {
            Ok(steps) => steps.unwrap_or_else(|| vec![Step::Run(Run::default())]),
            Err(message) => vec![Step::Evict(Evict { reason: "NoSuchScript".to_owned(), message: Some(message) })],
        };
        let count = steps.len();
        for (index, step) in steps.into_iter().enumerate() {
            self.step(step, index + 1 == count).await;
        }
    }

    async fn step(&mut self, step: Step, is_last: bool) {
        match step {
            Step::Run(run) => self.run(&run, is_last).await,
            Step::Oom(oom) => {
                let reason = Some("OOMKilled".to_owned());
                self.run(&Run { for_ms: oom.for_ms, exit_code: 137, reason, message: None }, is_last).await;
            }
            Step::Waiting(waiting) => {
                let phase = if self.restarts == 0 { "Pending" } else { "Running" };
                let state = json!({"waiting": {"reason": waiting.reason, "message": waiting.message}});
                self.report(&Containers { phase, ready: false, state }).await;
                tokio::time::sleep(Duration::from_millis(waiting.for_ms)).await;
            }
            Step::Evict(Evict { reason, message }) => {
                let status =
                    json!({"phase": "Failed", "reason": reason, "message": message, "startTime": self.started});
                self.patch(status).await;
            }
            Step::Status(status) => self.patch(status).await,
            Step::Hang {} => {
                self.report(&Containers { phase: "Running", ready: true, state: running() }).await;
                std::future::pending::<()>().await;
            }
        }
    }

    async fn run(&mut self, run: &Run, is_last: bool) {
        let began = now();
        let state = json!({"running": {"startedAt": began}});
        self.report(&Containers { phase: "Running", ready: true, state }).await;
        tokio::time::sleep(Duration::from_millis(run.for_ms)).await;
        let state = terminated(run, &began);
        let phase = match (is_last, run.exit_code) {
            (false, _) => "Running",
            (true, 0) => "Succeeded",
            (true, _) => "Failed",
        };
        self.report(&Containers { phase, ready: false, state: state.clone() }).await;
        self.restarts += 1;
        self.last = state;
    }

    /// What happens after somebody has deleted the pod.
    async fn end(self) {
        let grace = self.pod.metadata.deletion_grace_period_seconds.unwrap_or_default();
        if !self.over() && self.phase() == "Running" {
            let wish = self.annotation::<OnDelete>(ON_DELETE).ok().flatten().unwrap_or_default();
            let (wait, exit_code) = wish.within(grace.try_into().unwrap_or_default());
            tokio::time::sleep(wait).await;
            let state = terminated(&Run { exit_code, ..Run::default() }, &self.started);
            let phase = if exit_code == 0 { "Succeeded" } else { "Failed" };
            self.report(&Containers { phase, ready: false, state }).await;
        }
        let preconditions = Preconditions { uid: self.pod.uid(), resource_version: None };
        let params = DeleteParams::default().grace_period(0).preconditions(preconditions);
        self.request(async || self.pods.delete(&self.pod.name_any(), &params).await.map(drop)).await;
    }

    async fn report(&self, containers: &Containers) {
        let Containers { phase, ready, state } = containers;
        let truth = |is: bool| if is { "True" } else { "False" };
        let condition = |kind: &str, is: bool| json!({"type": kind, "status": truth(is), "lastTransitionTime": now()});
        let statuses = self.pod.spec.iter().flat_map(|spec| &spec.containers).map(|container| {
            json!({
                "name": container.name, "image": container.image, "imageID": "", "ready": ready, "started": ready,
                "restartCount": self.restarts, "state": state, "lastState": self.last,
            })
        });
        let status = json!({
            "phase": phase,
            "startTime": self.started,
            "hostIP": "127.0.0.1",
            "conditions": [
                condition("Initialized", true),
                condition("Ready", *ready),
                condition("ContainersReady", *ready),
                condition("PodScheduled", true),
            ],
            "containerStatuses": statuses.collect::<Vec<_>>(),
        });
        self.patch(status).await;
    }

    async fn patch(&self, status: Value) {
        // The uid, because another pod may have the name by now.
        let patch = Patch::Merge(json!({"metadata": {"uid": self.pod.uid()}, "status": status}));
        let (name, params) = (self.pod.name_any(), PatchParams::default());
        self.request(async || self.pods.patch_status(&name, &params, &patch).await.map(drop)).await;
    }

    /// Asks until the server answers, whatever it says.
    async fn request(&self, ask: impl AsyncFn() -> kube::Result<()>) {
        for _ in 0..ATTEMPTS {
            let permit = self.requests.acquire().await;
            let answer = ask().await;
            drop(permit);
            match answer {
                Err(kube::Error::Api(status)) if status.code >= 500 || status.code == 429 => {}
                // Done, or the pod is gone.
                Ok(()) | Err(kube::Error::Api(_)) => return,
                Err(_) => {}
            }
            tokio::time::sleep(AFTER_A_FAILURE).await;
        }
    }
}

fn now() -> Value {
    json!(format!("{:.0}", Timestamp::now()))
}

fn running() -> Value {
    json!({"running": {"startedAt": now()}})
}

fn terminated(run: &Run, began: &Value) -> Value {
    json!({"terminated": {
        "exitCode": run.exit_code, "reason": run.reason(), "message": run.message, "startedAt": began, "finishedAt": now(),
    }})
}

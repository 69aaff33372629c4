//! A plugin on the engine of the test bed, and runs in small containers.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use docker_bed::{BUSYBOX, Engine};
use futures::StreamExt as _;
use infra_contract::{EventStream, InfraError, InfraEvent, InfraPlugin as _, LaunchLog, Occurrence, Owner};
use infra_docker::{Cleanup, DockerPlugin, DockerSettings, Secrets};
use serde_json::{Map, Value};
use tempfile::TempDir;
use uuid::Uuid;
use worker_core::exit::ExitReport;
use worker_core::handle::Handle;
use worker_core::ids::{LaunchKey, RunId, TransitionId};
use worker_core::spec::{ReportState, RunSpec};

/// A plugin of its own owner. What it leaves is removed with it.
pub(crate) struct Bench {
    pub(crate) plugin: Arc<DockerPlugin>,
    pub(crate) settings: DockerSettings,
    pub(crate) log: Log,
    directory: Arc<TempDir>,
}

/// What a launch said.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
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
        self.warn(why.to_owned());
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(|settings| settings)
    }

    /// On the shared engine, with other settings.
    pub(crate) fn with(change: impl FnOnce(DockerSettings) -> DockerSettings) -> Self {
        Self::on(Engine::shared().host(), change)
    }

    /// On the engine of this address.
    pub(crate) fn on(host: &str, change: impl FnOnce(DockerSettings) -> DockerSettings) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let state_directory = Utf8Path::from_path(directory.path()).unwrap().join("docker");
        let settings = change(DockerSettings {
            host: Some(host.to_owned()),
            worker_environment: BTreeMap::from([("HOME".to_owned(), directory.path().to_str().unwrap().to_owned())]),
            owner: Owner::new(Uuid::new_v4().to_string()),
            state_directory,
            cleanup: Cleanup::Remove,
            secrets: Secrets::File,
            image_pull_deadline: Duration::from_secs(30),
        });
        let plugin = Arc::new(DockerPlugin::new(settings.clone(), BUSYBOX));
        Self { plugin, settings, log: Log::default(), directory }
    }

    /// What the `docker` command answers.
    pub(crate) fn docker(&self, args: &[&str]) -> String {
        let host = self.settings.host.as_deref().unwrap();
        let output = Command::new("docker").args(["-H", host]).args(args).output().unwrap();
        assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The containers that carry this daemon's mark.
    pub(crate) fn containers(&self) -> Vec<String> {
        let label = format!("label=io.prefect.worker.owner={}", self.settings.owner.mark());
        let listed = self.docker(&["ps", "-aq", "--no-trunc", "--filter", &label]);
        listed.split_whitespace().map(str::to_owned).collect()
    }

    /// The same daemon after a restart: nothing is remembered but what is on disk.
    pub(crate) fn restarted(&self) -> DockerPlugin {
        DockerPlugin::new(self.settings.clone(), BUSYBOX)
    }

    pub(crate) fn folder(&self) -> Utf8PathBuf {
        Utf8Path::from_path(self.directory.path()).unwrap().to_owned()
    }

    pub(crate) async fn launch(&self, spec: &RunSpec) -> Result<Handle, InfraError> {
        let plan = self.plugin.prepare(spec).await?;
        self.plugin.launch(&plan, &self.log).await
    }

    /// Runs to the end and cleans up.
    pub(crate) async fn run(&self, spec: &RunSpec) -> Seen {
        let handle = self.launch(spec).await.unwrap();
        let seen = Seen::all(self.plugin.watch(&handle).await.unwrap()).await;
        self.plugin.cleanup(&handle).await.unwrap();
        seen
    }

    pub(crate) fn inspect(&self, handle: &Handle) -> Value {
        let found: Value = serde_json::from_str(&self.docker(&["inspect", container(handle)])).unwrap();
        found[0].clone()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // The engine may be gone with the test.
        let host = self.settings.host.as_deref().unwrap_or_default();
        let label = format!("label=io.prefect.worker.owner={}", self.settings.owner.mark());
        let Ok(listed) = Command::new("docker").args(["-H", host, "ps", "-aq", "--filter", &label]).output() else {
            return;
        };
        let ids = String::from_utf8_lossy(&listed.stdout).into_owned();
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if !ids.is_empty() {
            drop(Command::new("docker").args(["-H", host, "rm", "-fv"]).args(ids).output());
        }
    }
}

/// The id of a handle's container.
pub(crate) fn container(handle: &Handle) -> &str {
    handle.infra_id.0.rsplit_once(':').unwrap().1
}

/// What a watch told.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) output: String,
    pub(crate) log_lines: Vec<String>,
    pub(crate) occurrences: Vec<Occurrence>,
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
                match event.unwrap() {
                    InfraEvent::Output { text, .. } => seen.output.push_str(&text),
                    InfraEvent::LogLine { text, .. } => seen.log_lines.push(text),
                    InfraEvent::Occurred(occurrence) => seen.occurrences.push(*occurrence),
                    InfraEvent::Exited(report) => seen.end = Some(report),
                    InfraEvent::Started | InfraEvent::Waiting(_) | InfraEvent::Diagnosis { .. } => {}
                }
                if enough(&seen) {
                    break;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(90), told).await.expect("ends in time");
        seen
    }

    pub(crate) fn report(&self) -> &ExitReport {
        self.end.as_ref().expect("it ended")
    }
}

/// A run of a shell script on the small image.
pub(crate) fn script_run(script: &str) -> RunSpec {
    let name = format!("run-{}", Uuid::new_v4().simple());
    RunSpec {
        key: LaunchKey { run: RunId(Uuid::new_v4()), claim: TransitionId(Uuid::new_v4()) },
        flow_run_name: name.clone(),
        name,
        command: Some(shell_words::join(["sh", "-c", script])),
        env: BTreeMap::new(),
        env_from: Vec::new(),
        configured_env: BTreeSet::new(),
        worker_settings: BTreeMap::new(),
        labels: BTreeMap::new(),
        fields: fields(serde_json::json!({"image": BUSYBOX, "network_mode": "none"})),
        block_texts: BTreeSet::new(),
        code: None,
        entrypoint: None,
        report_state: ReportState::Engine,
    }
}

/// Adds fields of the job configuration.
pub(crate) fn with_fields(mut spec: RunSpec, more: Value) -> RunSpec {
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

fn fields(value: Value) -> Map<String, Value> {
    let Value::Object(fields) = value else { panic!("not an object: {value}") };
    fields
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

//! A plugin in a directory of its own, and runs for it.
#![allow(dead_code, clippy::allow_attributes, reason = "every test crate uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use futures::StreamExt as _;
use infra_contract::{EventStream, InfraError, InfraEvent, InfraPlugin as _, LogStream, Owner, Unheard};
use infra_process::{Confinement, Inheritance, ProcessPlugin, ProcessSettings, SupervisorProgram, Warm};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value};
use uuid::Uuid;
use worker_core::exit::ExitReport;
use worker_core::handle::Handle;
use worker_core::ids::{LaunchKey, RunId, TransitionId};
use worker_core::spec::{ReportState, RunSpec};

/// The time any wait of a test may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

pub(crate) struct Bench {
    pub(crate) plugin: Arc<ProcessPlugin>,
    pub(crate) settings: ProcessSettings,
    directory: Directory,
}

/// A directory that takes the supervisors and cgroups of its runs along when it goes.
struct Directory(tempfile::TempDir);

impl Drop for Directory {
    fn drop(&mut self) {
        let folders = std::fs::read_dir(self.0.path().join("runs")).into_iter().flatten();
        for claim in folders.filter_map(|folder| std::fs::read(folder.ok()?.path().join("claim")).ok()) {
            let claim = first_line(&claim);
            if let Some(pid) = claim.pointer("/supervisor/pid").and_then(Value::as_i64) {
                signal(&pid.to_string(), Signal::KILL);
            }
            if let Some(cgroup) = claim.get("cgroup").and_then(Value::as_str) {
                // What a test left running in it is in its way; it is empty after all others.
                drop(std::fs::remove_dir(cgroup));
            }
        }
    }
}

/// The claim of a claim file; null if it is torn.
fn first_line(content: &[u8]) -> Value {
    let first = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
    serde_json::from_slice(first).unwrap_or_default()
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with_environment(&[])
    }

    /// A worker whose environment has these variables besides the test's `PATH`.
    pub(crate) fn with_environment(variables: &[(&str, &str)]) -> Self {
        let directory = Directory(tempfile::tempdir().unwrap());
        let mut worker_environment = BTreeMap::from([("PATH".to_owned(), path())]);
        worker_environment.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let runs_directory = Utf8PathBuf::from_path_buf(directory.0.path().join("runs")).unwrap();
        let supervisor = SupervisorProgram::new(env!("CARGO_BIN_EXE_process-supervisor"));
        let owner = Owner::new("tests");
        let settings = ProcessSettings {
            python: None,
            worker_environment,
            inheritance: Inheritance::Everything,
            confinement: Confinement::default(),
            warm: Warm::Off,
            profiles: BTreeMap::new(),
            runs_directory,
            owner,
            supervisor,
        };
        Self { plugin: Arc::new(ProcessPlugin::new(settings.clone())), settings, directory }
    }

    /// The same, where runs get this of it.
    pub(crate) fn with_inheritance(variables: &[(&str, &str)], inheritance: Inheritance) -> Self {
        let bench = Self::with_environment(variables);
        let settings = ProcessSettings { inheritance, ..bench.settings };
        Self { plugin: Arc::new(ProcessPlugin::new(settings.clone())), settings, ..bench }
    }

    /// A worker that keeps its runs apart.
    pub(crate) fn with_confinement(confinement: Confinement) -> Self {
        let bench = Self::new();
        let settings = ProcessSettings { confinement, ..bench.settings };
        Self { plugin: Arc::new(ProcessPlugin::new(settings.clone())), settings, ..bench }
    }

    /// A worker that is told which interpreter to use.
    pub(crate) fn with_python(python: &str) -> Self {
        let bench = Self::new();
        let settings = ProcessSettings { python: Some(python.to_owned()), ..bench.settings };
        Self { plugin: Arc::new(ProcessPlugin::new(settings.clone())), settings, ..bench }
    }

    /// A worker whose runs start warm.
    pub(crate) fn warm(python: &Utf8Path, variables: &[(&str, &str)], warm: Warm) -> Self {
        let bench = Self::with_environment(variables);
        let settings = ProcessSettings { python: Some(python.to_string()), warm, ..bench.settings };
        Self { plugin: Arc::new(ProcessPlugin::new(settings.clone())), settings, ..bench }
    }

    /// Another worker with the same settings, which has started nothing itself.
    pub(crate) fn another_worker(&self) -> Self {
        Self {
            plugin: Arc::new(ProcessPlugin::new(self.settings.clone())),
            settings: self.settings.clone(),
            ..Self::new()
        }
    }

    /// The worker ends without a word, and another one takes its place.
    pub(crate) fn restart(&mut self) {
        self.plugin = Arc::new(ProcessPlugin::new(self.settings.clone()));
    }

    /// The folder of a run.
    pub(crate) fn folder(&self, key: &LaunchKey) -> Utf8PathBuf {
        self.settings.runs_directory.join(key.to_string())
    }

    /// The number of the supervisor of a run.
    pub(crate) fn supervisor(&self, handle: &Handle) -> String {
        self.claim(handle).pointer("/supervisor/pid").unwrap().to_string()
    }

    /// The cgroup of a run, if there may be one.
    pub(crate) fn cgroup(&self, handle: &Handle) -> Option<Utf8PathBuf> {
        self.claim(handle).get("cgroup").and_then(Value::as_str).map(Utf8PathBuf::from)
    }

    fn claim(&self, handle: &Handle) -> Value {
        first_line(self.claim_file(handle).as_bytes())
    }

    /// What is written of a run: its claim, and below it what its supervisor says.
    pub(crate) fn claim_file(&self, handle: &Handle) -> String {
        std::fs::read_to_string(self.folder(&handle.key).join("claim")).unwrap()
    }

    /// Puts something else there.
    pub(crate) fn rewrite_claim_file(&self, handle: &Handle, content: &str) {
        std::fs::write(self.folder(&handle.key).join("claim"), content).unwrap();
    }

    pub(crate) fn directory(&self) -> &Utf8Path {
        Utf8Path::from_path(self.directory.0.path()).unwrap()
    }

    pub(crate) async fn launch(&self, spec: &RunSpec) -> Result<Handle, InfraError> {
        let plan = self.plugin.prepare(spec).await?;
        self.plugin.launch(&plan, &Unheard).await
    }

    pub(crate) async fn watch(&self, handle: &Handle) -> Watched {
        Watched { events: self.plugin.watch(handle).await.unwrap(), output: String::new() }
    }

    /// Launches, and watches to the end: standard output, and how it ended.
    pub(crate) async fn run(&self, spec: &RunSpec) -> (String, ExitReport) {
        let handle = self.launch(spec).await.unwrap();
        self.watch(&handle).await.until_the_end().await
    }
}

/// A run being watched.
pub(crate) struct Watched {
    events: EventStream,
    pub(crate) output: String,
}

impl Watched {
    /// Waits until a complete line begins so; the rest of it.
    pub(crate) async fn line(&mut self, beginning: &str) -> String {
        let seek = async {
            loop {
                let found = self.output.lines().find_map(|line| line.strip_prefix(beginning));
                if let Some(rest) = found
                    && self.output.ends_with('\n')
                {
                    return rest.to_owned();
                }
                let end = self.next().await;
                assert!(end.is_none(), "no line `{beginning}` before {end:?} in {}", self.output);
            }
        };
        tokio::time::timeout(LIMIT, seek).await.expect("the line comes")
    }

    pub(crate) async fn until_the_end(mut self) -> (String, ExitReport) {
        let seek = async {
            loop {
                if let Some(report) = self.next().await {
                    return (self.output, report);
                }
            }
        };
        tokio::time::timeout(LIMIT, seek).await.expect("the run ends")
    }

    async fn next(&mut self) -> Option<ExitReport> {
        match self.events.next().await.expect("goes on").expect("is watched") {
            InfraEvent::Output { stream: LogStream::Stdout, text } => self.output.push_str(&text),
            InfraEvent::Exited(report) => return Some(report),
            InfraEvent::Started
            | InfraEvent::Output { .. }
            | InfraEvent::LogLine { .. }
            | InfraEvent::Occurred(_)
            | InfraEvent::Waiting(_)
            | InfraEvent::Diagnosis { .. } => {}
        }
        None
    }
}

/// A run of the default command.
pub(crate) fn engine_run() -> RunSpec {
    RunSpec {
        key: LaunchKey { run: RunId(Uuid::new_v4()), claim: TransitionId(Uuid::new_v4()) },
        flow_run_name: "pretty-heron".to_owned(),
        name: "pretty-heron".to_owned(),
        command: None,
        env: BTreeMap::new(),
        env_from: Vec::new(),
        configured_env: BTreeSet::new(),
        worker_settings: BTreeMap::new(),
        labels: BTreeMap::new(),
        fields: Map::new(),
        block_texts: BTreeSet::new(),
        code: None,
        entrypoint: None,
        report_state: ReportState::Engine,
    }
}

/// A run of a shell script.
pub(crate) fn script_run(script: &str) -> RunSpec {
    RunSpec { command: Some(shell_words::join(["sh", "-c", script])), ..engine_run() }
}

/// The same run with job variables of this kind.
pub(crate) fn with_fields(spec: RunSpec, fields: Value) -> RunSpec {
    let fields = serde_json::from_value(fields).unwrap();
    RunSpec { fields, ..spec }
}

pub(crate) fn variables(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Waits until a condition is true.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(LIMIT, poll).await.is_ok(), "{what}");
}

pub(crate) fn signal(pid: &str, signal: Signal) {
    let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
    // It may have ended.
    kill_process(pid, signal).unwrap_or_default();
}

/// How many living processes carry the marker of an execution.
pub(crate) fn marked(key: &LaunchKey) -> usize {
    let marker = format!("{}={key}", infra_process::LAUNCH_MARKER);
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    pids.filter(|pid| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == marker.as_bytes()) && is_alive(pid)
    })
    .count()
}

/// Whether a process is there and not a zombie.
pub(crate) fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    stat.is_ok_and(|stat| !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" Z")))
}

#[expect(clippy::disallowed_methods, reason = "tests run what is on the machine")]
pub(crate) fn path() -> String {
    std::env::var("PATH").unwrap()
}

//! A directory for runs, and what they are given.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Mutex;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use code_storage::plan::StepRecord;
use code_storage::{
    DeploymentCode, EngineReason, Found, NativePull, PullFailure, PullLog, PullOptions, Pulled, RunSite, plan, pull,
};
use serde_json::{Map, Value};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use worker_core::template::Reference;

/// Writes its arguments to the file `args` of its working directory, a line for each call.
const RECORD: &str = "#!/bin/sh\nfor word in \"$@\"; do printf '<%s>' \"$word\"; done >> args\necho >> args\n";

/// A directory of the test, with a program `record`.
pub(crate) struct Bed {
    _directory: TempDir,
    pub(crate) root: Utf8PathBuf,
    pub(crate) site: RunSite,
    pub(crate) options: PullOptions,
    pub(crate) log: Lines,
    /// Blocks by `slug/name`.
    pub(crate) blocks: Map<String, Value>,
    pub(crate) variables: Map<String, Value>,
}

impl Bed {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::try_from(directory.path().canonicalize().unwrap()).unwrap();
        let programs = root.join("programs");
        let environment = BTreeMap::from(
            [
                ("PATH", format!("{programs}:/usr/local/bin:/usr/bin:/bin").as_str()),
                ("HOME", root.join("home").as_str()),
                ("LANG", "C.UTF-8"),
                ("GIT_CONFIG_GLOBAL", "/dev/null"),
                ("GIT_CONFIG_NOSYSTEM", "1"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let options = PullOptions { env: environment.clone(), ..PullOptions::default() };
        let site = RunSite { shares_file_system: true, is_here: true, environment, ..RunSite::default() };
        let bed = Self {
            _directory: directory,
            root,
            site,
            options,
            log: Lines::default(),
            blocks: Map::new(),
            variables: Map::new(),
        };
        fs_err::create_dir(&programs).unwrap();
        bed.program("record", RECORD);
        bed
    }

    /// Puts a program on the runs' PATH.
    pub(crate) fn program(&self, name: &str, script: &str) -> Utf8PathBuf {
        let path = self.root.join("programs").join(name);
        fs_err::write(&path, script).unwrap();
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// An empty directory for a run, with the file to load.
    pub(crate) fn run_directory(&self, name: &str) -> Utf8PathBuf {
        let path = self.root.join(name);
        fs_err::create_dir_all(&path).unwrap();
        path
    }

    pub(crate) fn plan(&self, steps: &Value) -> Result<NativePull, EngineReason> {
        // A module path, so that a pull is not about a file.
        let code = DeploymentCode {
            pull_steps: Some(steps),
            entrypoint: Some("flows.hello"),
            path: None,
            storage_block: None,
            site: &self.site,
        };
        let mut draft = plan(&code)?;
        while let Some(reference) = draft.pending().first().cloned() {
            let data = match &reference {
                Reference::Block { type_slug, name } => self.blocks.get(&format!("{type_slug}/{name}")),
                Reference::Variable(name) => self.variables.get(name),
                Reference::BlockById(_) => None,
            };
            draft.provide(&reference, data.cloned().map(Found::from))?;
        }
        draft.finish()
    }

    /// Plans and runs these steps.
    pub(crate) async fn pull(&self, into: &Utf8Path, steps: &Value) -> Result<Pulled, PullFailure> {
        self.pull_until(into, steps, &CancellationToken::new()).await
    }

    pub(crate) async fn pull_until(
        &self,
        into: &Utf8Path,
        steps: &Value,
        cancel: &CancellationToken,
    ) -> Result<Pulled, PullFailure> {
        let native = self.plan(steps).unwrap_or_else(|reason| panic!("left to the engine: {reason}"));
        pull(&native, into, &self.options, &self.log, cancel).await
    }
}

/// A step of the SDK's own.
pub(crate) fn step(name: &str, inputs: Value) -> Value {
    Value::Object(Map::from_iter([(format!("prefect.deployments.steps.{name}"), inputs)]))
}

/// The lines that steps wrote, and how each step ended.
#[derive(Default)]
pub(crate) struct Lines {
    written: Mutex<Vec<String>>,
    ended: Mutex<Vec<(String, bool)>>,
}

impl PullLog for Lines {
    fn output(&self, line: String) {
        self.written.lock().unwrap().push(line);
    }

    fn step_ended(&self, step: &StepRecord, took: Duration, is_done: bool) {
        assert!(took > Duration::ZERO);
        self.ended.lock().unwrap().push((step.step_name.clone(), is_done));
    }
}

impl Lines {
    pub(crate) fn all(&self) -> Vec<String> {
        self.written.lock().unwrap().clone()
    }

    /// The name of each step that is over, and whether it is done.
    pub(crate) fn ended(&self) -> Vec<(String, bool)> {
        self.ended.lock().unwrap().clone()
    }
}

/// The text of a failed pull with its causes, and what to do.
pub(crate) fn told(failure: &PullFailure) -> String {
    let mut told = failure.error.to_string();
    let mut cause = std::error::Error::source(&failure.error);
    while let Some(error) = cause {
        told.push_str(": ");
        told.push_str(&error.to_string());
        cause = error.source();
    }
    assert!(!failure.error.hint().is_empty());
    told
}

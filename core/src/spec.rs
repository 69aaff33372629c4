//! What a plugin is asked to start, and what it answers that it would start.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::LaunchKey;
use crate::job_configuration::JobConfigurationError;
use crate::policy::Requested;

/// Who reports the run's own states (Running, Completed, Failed) to the API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportState {
    /// The Prefect engine inside the infrastructure: the worker only reports what the engine cannot.
    #[default]
    Engine,
    /// The worker, from the start and the exit code: for commands that never talk to the API.
    Worker,
}

/// One execution of a run, with its configuration resolved: the input of a plugin.
///
/// `env` and `fields` may hold secrets, so `Debug` prints neither.
#[derive(Clone)]
pub struct RunSpec {
    /// Identity of this execution.
    pub key: LaunchKey,
    /// The flow run's name.
    pub flow_run_name: String,
    /// The name to give the infrastructure.
    pub name: String,
    /// The command, in shell words; `None` means the kind's default.
    pub command: Option<String>,
    /// The environment the run was configured with.
    pub env: BTreeMap<String, String>,
    /// Variables that take their value from elsewhere, as Kubernetes writes them; none of them is in `env`. Only the
    /// Kubernetes kind can carry them out.
    pub env_from: Vec<Value>,
    /// Which of these variables the job configuration set itself. The others are the worker's own settings and facts.
    pub configured_env: BTreeSet<String>,
    /// Environment that the kind may have to apply on top: the worker's own explicitly set Prefect settings. The
    /// process kind does; the others ignore it.
    pub worker_settings: BTreeMap<String, String>,
    /// Labels for the infrastructure.
    pub labels: BTreeMap<String, String>,
    /// The kind's own fields of the job configuration.
    pub fields: Map<String, Value>,
    /// Texts of the blocks that the job configuration mentions: what holds one of them may hold a secret.
    pub block_texts: BTreeSet<String>,
    /// Where the worker has put the flow's code, if it has.
    pub code: Option<CodeInPlace>,
    /// The entrypoint within the code, if `worker pull` can bring that to another machine.
    pub entrypoint: Option<String>,
    /// Who reports the run's states.
    pub report_state: ReportState,
}

impl RunSpec {
    /// For the kinds that have nowhere else to take values from.
    ///
    /// # Errors
    /// There is a variable with `valueFrom`.
    pub fn refuse_env_from(&self) -> Result<(), JobConfigurationError> {
        if self.env_from.is_empty() {
            return Ok(());
        }
        Err(JobConfigurationError::WrongType {
            field: "env".to_owned(),
            expected: "an object, or a list of entries with `value`",
            found: "an entry with `valueFrom`, which only the Kubernetes kind can carry out",
        })
    }
}

impl fmt::Debug for RunSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunSpec")
            .field("key", &self.key)
            .field("name", &self.name)
            .field("command", &self.command)
            .field("report_state", &self.report_state)
            .finish_non_exhaustive()
    }
}

/// Flow code that the worker has brought to a directory of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeInPlace {
    /// The directory in which the flow is to run: where the pull steps ended.
    pub directory: String,
    /// The entrypoint to load, `<absolute path>:<function>`; `None` leaves the choice to the engine.
    pub entrypoint: Option<String>,
    /// The directory in which the pull began, if the flow may import the checkout by its folder's name.
    pub importable: Option<String>,
}

/// A `PYTHONPATH` with one more directory at its end.
pub fn python_path(before: Option<&str>, directory: &str) -> String {
    match before.filter(|path| !path.is_empty()) {
        Some(before) => format!("{before}:{directory}"),
        None => directory.to_owned(),
    }
}

/// What a plugin would start: made without side effects, printable, and enough to start it.
///
/// `shown` is for people and has its secrets masked; `detail` is for the plugin, is never printed and never stored.
#[derive(Clone)]
pub struct Plan {
    /// Identity of the execution.
    pub key: LaunchKey,
    /// The name the infrastructure will have.
    pub infra_name: String,
    /// What would be started, for people: secrets masked.
    pub shown: Value,
    /// What would be started, for the worker's policy. No secrets.
    pub requested: Requested,
    /// The plugin's own data.
    pub detail: Value,
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("key", &self.key)
            .field("infra_name", &self.infra_name)
            .field("shown", &self.shown)
            .finish_non_exhaustive()
    }
}

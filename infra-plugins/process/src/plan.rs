//! What would be started.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use infra_contract::masking;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use worker_core::policy::Requested;
use worker_core::spec::{Plan, ReportState, RunSpec};

use crate::command;
use crate::confinement::Confinement;
use crate::environment;
use crate::error::ProcessError;
use crate::fields::Fields;
use crate::settings::{NO_PROFILE, ProcessSettings};

/// Everything a launch needs: the detail of a [`Plan`]. Holds secrets.
#[derive(Serialize, Deserialize)]
pub(crate) struct ProcessPlan {
    pub(crate) words: Vec<String>,
    /// The words that start the Python of the default command; none for another command.
    pub(crate) python: Vec<String>,
    /// The whole environment but for the control session.
    pub(crate) environment: BTreeMap<String, String>,
    /// Absolute; `None` is a temporary directory.
    pub(crate) working_dir: Option<Utf8PathBuf>,
    pub(crate) stream_output: bool,
    pub(crate) report_state: ReportState,
    /// The profile by which the run is kept apart.
    #[serde(default)]
    pub(crate) sandbox: Option<String>,
}

impl ProcessPlan {
    pub(crate) fn of(plan: &Plan) -> Result<Self, ProcessError> {
        serde_json::from_value(plan.detail.clone()).map_err(ProcessError::UnreadablePlan)
    }
}

/// Plans a run: reads the file system, changes nothing.
pub(crate) fn make(settings: &ProcessSettings, spec: &RunSpec) -> Result<Plan, ProcessError> {
    let fields = Fields::read(&spec.fields)?;
    spec.refuse_env_from().map_err(ProcessError::Field)?;
    let code = spec.code.as_ref().map(|code| Utf8PathBuf::from(&code.directory));
    let working_dir = fields.working_dir.or(code).map(absolute).transpose()?;
    let command = command::choose(settings, spec, working_dir.as_deref())?;
    let detail = ProcessPlan {
        words: command.words,
        python: command.python,
        environment: environment::of_run(settings, spec),
        working_dir,
        stream_output: fields.stream_output,
        report_state: spec.report_state,
        sandbox: fields.sandbox,
    };
    let confinement = settings.confinement_of(detail.sandbox.as_deref())?;
    let requested = requested(confinement, detail.sandbox.as_deref(), spec);
    let shown = shown(settings, &detail, spec);
    let detail = serde_json::to_value(detail).map_err(ProcessError::UnreadablePlan)?;
    Ok(Plan { key: spec.key, infra_name: spec.name.clone(), shown, requested, detail })
}

/// What of it a policy may restrict.
fn requested(confinement: &Confinement, sandbox: Option<&str>, spec: &RunSpec) -> Requested {
    let without_secrets = |command: &String| masking::without(command, spec.block_texts.iter().map(String::as_str));
    Requested {
        commands: spec.command.iter().map(without_secrets).collect(),
        environment: spec.configured_env.clone(),
        sandboxes: [sandbox.unwrap_or(NO_PROFILE).to_owned()].into(),
        cpu_millis: confinement.max_cpu_percent.map(|percent| percent.saturating_mul(10)),
        memory_bytes: confinement.max_memory,
        run_time_seconds: confinement.time_limit,
        ..Requested::default()
    }
}

/// A relative path is relative to the worker's own directory.
fn absolute(path: Utf8PathBuf) -> Result<Utf8PathBuf, ProcessError> {
    camino::absolute_utf8(&path).map_err(|source| ProcessError::UnusableWorkingDirectory { path, source })
}

fn shown(settings: &ProcessSettings, plan: &ProcessPlan, spec: &RunSpec) -> Value {
    let environment = environment::on_top(&environment::inherited(settings), spec);
    let environment: BTreeMap<&str, &str> =
        environment.iter().map(|(name, value)| (name.as_str(), masking::shown(name, value))).collect();
    json!({
        "command": shell_words::join(&plan.words),
        "working_dir": plan.working_dir.as_deref().map_or("(a temporary directory)", Utf8Path::as_str),
        "stream_output": plan.stream_output,
        "sandbox": plan.sandbox.as_deref().unwrap_or(NO_PROFILE),
        "env_on_top_of_the_workers": environment,
    })
}

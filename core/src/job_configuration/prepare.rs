//! What every run gets on top of its job configuration: environment, labels, a name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::lenient::Fields;
use super::{JobConfiguration, JobConfigurationError, environment, labels};
use crate::ids::{DeploymentId, FlowId, RunId, WorkPoolId, WorkerId};
use crate::spec::ReportState;
use crate::template::{python_str, python_truth, substitute};

/// What is known about the run, its flow and the worker.
#[derive(Clone, Copy)]
pub struct PreparationContext<'a> {
    /// The worker's explicitly set Prefect settings under their environment names. Holds credentials.
    pub base_environment: &'a BTreeMap<String, String>,
    /// The worker's own environment, for `{{ $NAME }}` in a name.
    pub worker_env: &'a BTreeMap<String, String>,
    /// The client version reported in labels.
    pub client_version: &'a str,
    /// Name of the worker.
    pub worker_name: &'a str,
    /// Id of the worker, where the server gives it one.
    pub worker_id: Option<WorkerId>,
    /// The work pool.
    pub work_pool: WorkPoolContext<'a>,
    /// The flow run.
    pub flow_run: FlowRunContext<'a>,
    /// The flow.
    pub flow: FlowContext<'a>,
    /// The deployment, if the run has one.
    pub deployment: Option<DeploymentContext<'a>>,
}

/// The work pool of a run.
#[derive(Clone, Copy, Debug)]
pub struct WorkPoolContext<'a> {
    /// Its id.
    pub id: WorkPoolId,
    /// Its name.
    pub name: &'a str,
}

/// The flow run.
#[derive(Clone, Copy)]
pub struct FlowRunContext<'a> {
    /// Its id.
    pub id: RunId,
    /// Its name.
    pub name: &'a str,
    /// The API's object, for `{{ ctx.flow_run.… }}`.
    pub json: &'a Value,
}

/// The flow of a run.
#[derive(Clone, Copy)]
pub struct FlowContext<'a> {
    /// Its id.
    pub id: FlowId,
    /// Its name.
    pub name: &'a str,
    /// The API's object, for `{{ ctx.flow.… }}`.
    pub json: &'a Value,
}

/// The deployment of a run.
#[derive(Clone, Copy, Debug)]
pub struct DeploymentContext<'a> {
    /// Its id.
    pub id: DeploymentId,
    /// Its name.
    pub name: &'a str,
    /// When it was last updated.
    pub updated: Option<Timestamp>,
}

/// A job configuration complete for one run. `Debug` shows names of variables and fields, no values.
#[derive(Clone, PartialEq)]
pub struct PreparedJob {
    /// The configured command, in shell words; `None` means the kind's default.
    pub command: Option<String>,
    /// The whole environment that the configuration asks for.
    pub env: BTreeMap<String, String>,
    /// Variables that take their value from elsewhere, as Kubernetes writes them; none of them is in `env`.
    pub env_from: Vec<Value>,
    /// Which variables the job configuration itself says something about.
    pub configured_env: BTreeSet<String>,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// Name for the infrastructure.
    pub name: String,
    /// Who reports the run's states.
    pub report_state: ReportState,
    /// The fields of the kind itself.
    pub fields: Fields,
}

impl JobConfiguration {
    /// Completes the configuration for one run.
    ///
    /// Configured `env` and `labels` win over what the worker adds, and a null in `env` removes it. A `name` has its
    /// `{{ ctx.flow.… }}` and `{{ ctx.flow_run.… }}` placeholders filled in; without a name, or if nothing is left of
    /// it, the infrastructure is named like the flow run.
    ///
    /// # Errors
    /// The name's placeholders lead to something that nests too deep.
    pub fn prepare_for_flow_run(self, context: &PreparationContext<'_>) -> Result<PreparedJob, JobConfigurationError> {
        let name = rendered_name(self.name, context)?;
        let mut env = worker_environment(context);
        let mut configured_env = BTreeSet::new();
        for (variable, value) in self.env {
            configured_env.insert(variable.clone());
            match value {
                Some(value) => drop(env.insert(variable, value)),
                None => drop(env.remove(&variable)),
            }
        }
        for name in self.env_from.iter().filter_map(|entry| entry.get("name")?.as_str()) {
            configured_env.insert(name.to_owned());
            env.remove(name);
        }
        let mut labels = worker_labels(context);
        labels.extend(self.labels);
        Ok(PreparedJob {
            command: self.command,
            env,
            env_from: self.env_from,
            configured_env,
            labels,
            name,
            report_state: self.report_state,
            fields: self.fields,
        })
    }
}

impl fmt::Debug for PreparedJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedJob")
            .field("env", &self.env.keys())
            .field("labels", &self.labels)
            .field("name", &self.name)
            .field("report_state", &self.report_state)
            .field("fields", &self.fields.keys())
            .finish_non_exhaustive()
    }
}

fn rendered_name(template: Option<String>, context: &PreparationContext<'_>) -> Result<String, JobConfigurationError> {
    let Some(template) = template else { return Ok(context.flow_run.name.to_owned()) };
    let objects = [("flow", context.flow.json), ("flow_run", context.flow_run.json)];
    let objects = objects.into_iter().map(|(key, object)| (key.to_owned(), object.clone()));
    let values = Map::from_iter([("ctx".to_owned(), objects.collect())]);
    let rendered = substitute(&Value::String(template), &values, context.worker_env)?.filter(python_truth);
    Ok(rendered.map_or_else(|| context.flow_run.name.to_owned(), |name| python_str(&name)))
}

fn worker_environment(context: &PreparationContext<'_>) -> BTreeMap<String, String> {
    let mut env = context.base_environment.clone();
    let mut set = |variable: &str, value: String| drop(env.insert(variable.to_owned(), value));
    set(environment::FLOW_RUN_ID, context.flow_run.id.to_string());
    if let Some(id) = context.worker_id {
        set(environment::WORKER_ID, id.to_string());
    }
    set(environment::WORKER_NAME, context.worker_name.to_owned());
    set(environment::FLOW_ID, context.flow.id.to_string());
    set(environment::FLOW_NAME, context.flow.name.to_owned());
    if let Some(deployment) = context.deployment {
        set(environment::DEPLOYMENT_ID, deployment.id.to_string());
        set(environment::DEPLOYMENT_NAME, deployment.name.to_owned());
    }
    env
}

fn worker_labels(context: &PreparationContext<'_>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut set = |label: &str, value: String| drop(found.insert(label.to_owned(), value));
    set(labels::FLOW_RUN_ID, context.flow_run.id.to_string());
    set(labels::FLOW_RUN_NAME, context.flow_run.name.to_owned());
    set(labels::VERSION, context.client_version.to_owned());
    set(labels::WORK_POOL_NAME, context.work_pool.name.to_owned());
    set(labels::WORK_POOL_ID, context.work_pool.id.to_string());
    set(labels::WORKER_NAME, context.worker_name.to_owned());
    set(labels::FLOW_ID, context.flow.id.to_string());
    set(labels::FLOW_NAME, context.flow.name.to_owned());
    if let Some(deployment) = context.deployment {
        set(labels::DEPLOYMENT_ID, deployment.id.to_string());
        set(labels::DEPLOYMENT_NAME, deployment.name.to_owned());
        if let Some(updated) = deployment.updated {
            set(labels::DEPLOYMENT_UPDATED, iso_format(updated));
        }
    }
    found
}

/// As Python's `isoformat` writes it: microseconds only if there are any, and `+00:00` for UTC.
fn iso_format(time: Timestamp) -> String {
    let format = if time.subsec_microsecond() == 0 { "%Y-%m-%dT%H:%M:%S+00:00" } else { "%Y-%m-%dT%H:%M:%S%.6f+00:00" };
    time.strftime(format).to_string()
}

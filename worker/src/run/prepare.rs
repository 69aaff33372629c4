//! From a claimed run to a plan.

use std::collections::BTreeSet;

use central_api_client::ApiError;
use central_api_wire::CLIENT_VERSION;
use central_api_wire::deployment::Deployment;
use central_api_wire::event::Event;
use central_api_wire::flow_run::Flow;
use code_storage::CodeError;
use infra_contract::InfraError;
use serde_json::{Map, Value};
use worker_core::job_configuration::{
    DeploymentContext, FlowContext, FlowRunContext, JobConfigurationError, PreparationContext, PreparedJob,
    WorkPoolContext, resolve,
};
use worker_core::spec::{Plan, ReportState, RunSpec};
use worker_core::template::Reference;

use super::code;
use super::context::RunContext;
use super::error_chain::ErrorChain;
use super::patience::patiently;
use super::worker_event::{RunSubject, worker_resource};

/// What preparing brings.
pub(super) struct Prepared {
    pub(super) plan: Plan,
    pub(super) report_state: ReportState,
    pub(super) subject: RunSubject,
    pub(super) submitted: Event,
}

/// Why a run could not be prepared.
#[derive(Debug, thiserror::Error)]
pub(super) enum PrepareError {
    #[error("the {what} could not be read")]
    Unreadable {
        what: &'static str,
        #[source]
        source: ApiError,
    },
    #[error("the job configuration is not valid")]
    Configuration(#[from] JobConfigurationError),
    #[error("the flow's code could not be brought")]
    Code(#[source] CodeError),
    #[error(transparent)]
    Infrastructure(#[from] InfraError),
}

impl PrepareError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Code(error) => Some(error.hint().to_owned()),
            Self::Infrastructure(error) => error.hint.clone(),
            Self::Configuration(error) => Some(error.hint().to_owned()),
            Self::Unreadable { .. } => None,
        }
    }

    /// The text for the run's state and log.
    pub(super) fn for_people(&self) -> String {
        with_hint(ErrorChain(self).to_string(), self.hint().as_deref())
    }
}

/// A message followed by what to do about it.
pub(super) fn with_hint(message: String, hint: Option<&str>) -> String {
    match hint {
        Some(hint) => format!("{message}. {hint}"),
        None => message,
    }
}

/// Resolves the configuration, says so to the world, brings the code and lets the plugin plan.
pub(super) async fn prepare(cx: &RunContext, deployment: Option<&Deployment>) -> Result<Prepared, PrepareError> {
    let flow_id = cx.offer.flow_run.flow_id;
    let flow = patiently(|| cx.around.api.flow(flow_id))
        .await
        .map_err(|source| PrepareError::Unreadable { what: "flow", source })?;
    let (job, block_texts) = configure(cx, deployment, &flow).await?;

    let worker = worker_resource(&cx.around.identity.name, &cx.around.identity.kind);
    let subject = RunSubject::new(worker, deployment, &flow, &cx.offer.flow_run, &cx.offer.pool);
    let submitted = subject.submitted(cx.offer.key);
    cx.around.api.emit(submitted.clone());

    let code = code::bring(cx, deployment, &job).await.map_err(PrepareError::Code)?;
    let report_state = job.report_state;
    let spec = RunSpec {
        key: cx.offer.key,
        flow_run_name: cx.offer.flow_run.name.clone(),
        name: job.name,
        command: job.command,
        env: job.env,
        configured_env: job.configured_env,
        worker_settings: cx.around.settings.base_environment.clone(),
        labels: job.labels,
        fields: job.fields,
        block_texts,
        code,
        report_state,
    };
    let plan = cx.around.plugin.prepare(&spec).await?;
    Ok(Prepared { plan, report_state, subject, submitted })
}

/// The job configuration, and the texts of the blocks that went into it.
async fn configure(
    cx: &RunContext,
    deployment: Option<&Deployment>,
    flow: &Flow,
) -> Result<(PreparedJob, BTreeSet<String>), PrepareError> {
    let nothing = Map::new();
    let template = Value::Object(cx.offer.pool.base_job_template.clone());
    let of_deployment = deployment.and_then(|deployment| deployment.job_variables.as_ref()).unwrap_or(&nothing);
    let of_run = cx.offer.flow_run.job_variables.as_ref().unwrap_or(&nothing);
    let own_variables = cx.around.plugin.own_variables();
    let worker_env = &cx.around.settings.worker_environment;
    let mut draft = resolve(&template, of_deployment, of_run, own_variables, worker_env)?;
    let mut block_texts = BTreeSet::new();
    while let Some(reference) = draft.pending().first().cloned() {
        let data = fetch(cx, &reference).await?;
        if let (Reference::Block { .. } | Reference::BlockById(_), Some(block)) = (&reference, &data) {
            collect_texts(block, &mut block_texts);
        }
        draft.provide(&reference, data)?;
    }
    let flow_json = as_json(flow);
    let run_json = as_json(&cx.offer.flow_run);
    let context = PreparationContext {
        base_environment: &cx.around.settings.base_environment,
        worker_env,
        client_version: CLIENT_VERSION,
        worker_name: &cx.around.identity.name,
        worker_id: cx.around.identity.id.get().copied(),
        work_pool: WorkPoolContext { id: cx.offer.pool.id, name: &cx.offer.pool.name },
        flow_run: FlowRunContext { id: cx.offer.key.run, name: &cx.offer.flow_run.name, json: &run_json },
        flow: FlowContext { id: flow.id, name: &flow.name, json: &flow_json },
        deployment: deployment.map(|deployment| DeploymentContext {
            id: deployment.id,
            name: &deployment.name,
            updated: deployment.updated,
        }),
    };
    Ok((draft.finish()?.prepare_for_flow_run(&context)?, block_texts))
}

/// Every text in a block. Which of its fields are secret the API does not say with its data, so all count.
fn collect_texts(block: &Value, into: &mut BTreeSet<String>) {
    match block {
        Value::String(text) if !text.is_empty() => drop(into.insert(text.clone())),
        Value::Array(items) => items.iter().for_each(|item| collect_texts(item, into)),
        Value::Object(fields) => fields.values().for_each(|value| collect_texts(value, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn as_json(object: &impl serde::Serialize) -> Value {
    // Objects that came as JSON can be written as JSON.
    serde_json::to_value(object).unwrap_or_default()
}

async fn fetch(cx: &RunContext, reference: &Reference) -> Result<Option<Value>, PrepareError> {
    let (what, fetched) = match reference {
        Reference::Block { type_slug, name } => {
            let block = patiently(|| cx.around.api.block_by_name(type_slug, name)).await;
            ("block", block.map(|block| block.map(|block| Value::Object(block.data))))
        }
        Reference::BlockById(id) => {
            let block = patiently(|| cx.around.api.block_by_id(*id)).await;
            ("block", block.map(|block| block.map(|block| Value::Object(block.data))))
        }
        Reference::Variable(name) => {
            let variable = patiently(|| cx.around.api.variable(name)).await;
            ("variable", variable.map(|variable| variable.map(|variable| variable.value)))
        }
    };
    fetched.map_err(|source| PrepareError::Unreadable { what, source })
}

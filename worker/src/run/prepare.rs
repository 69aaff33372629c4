//! From a claimed run to a plan.

use central_api_client::ApiError;
use central_api_wire::block::BlockDocument;
use central_api_wire::deployment::Deployment;
use central_api_wire::flow_run::Flow;
use code_storage::{CodeError, Found};
use infra_contract::InfraError;
use serde_json::json;
use worker_core::job_configuration::JobConfigurationError;
use worker_core::policy::Objection;
use worker_core::spec::{Plan, ReportState, RunSpec};
use worker_core::template::Reference;

use super::code;
use super::context::RunContext;
use super::error_chain::ErrorChain;
use super::judging::Judge;
use super::patience::patiently;
use super::worker_event::{RunSubject, Submitted, worker_resource};
use crate::configuring::Configuring;
use crate::pulling;

/// What preparing brings.
pub(super) struct Prepared {
    pub(super) plan: Plan,
    pub(super) report_state: ReportState,
    pub(super) subject: RunSubject,
    pub(super) submitted: Submitted,
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
    /// The worker's policy.
    #[error("{}", .0.for_people())]
    Refused(Objection),
}

impl PrepareError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Code(error) => Some(error.hint().to_owned()),
            Self::Infrastructure(error) => error.hint.clone(),
            Self::Configuration(error) => Some(error.hint().to_owned()),
            Self::Unreadable { .. } | Self::Refused(_) => None,
        }
    }

    /// The text for the run's state and log.
    pub(super) fn for_people(&self) -> String {
        with_hint(ErrorChain(self).to_string(), self.hint().as_deref())
    }
}

/// A message followed by what to do about it.
pub(crate) fn with_hint(message: String, hint: Option<&str>) -> String {
    match hint {
        Some(hint) => format!("{message}. {hint}"),
        None => message,
    }
}

/// Resolves the configuration, says so to the world, brings the code and lets the plugin plan.
pub(super) async fn prepare(cx: &RunContext, deployment: Option<&Deployment>) -> Result<Prepared, PrepareError> {
    let flow_id = cx.offer.flow_run.flow_id;
    let flow = patiently(|| cx.around.api.flow(flow_id, cx.offer.shown))
        .await
        .map_err(|source| PrepareError::Unreadable { what: "flow", source })?;
    let mut spec = configure(cx, deployment, &flow).await?;
    let judge = Judge::new(cx, &flow, deployment);

    let worker = worker_resource(&cx.around.identity.name, &cx.around.identity.kind);
    let subject =
        RunSubject::new(&cx.around.shared_resources, worker, deployment, &flow, &cx.offer.flow_run, &cx.offer.pool);
    let submitted = subject.submitted(cx.offer.key);
    let emitted = Submitted::of(&submitted);
    cx.around.api.emit(submitted);

    cx.around.secrets.learn_variables(&spec.env);
    if judge.is_needed() {
        // Before the code is brought: its steps may be programs.
        judge.draft(&cx.around.plugin.prepare(&spec).await?.requested)?;
    }
    spec.code = code::bring(cx, deployment, &spec, &judge).await?;
    spec.entrypoint = code::entrypoint_elsewhere(cx, deployment, &spec).await?;
    let plan = cx.around.plugin.prepare(&spec).await?;
    judge.infrastructure(&plan.requested)?;
    Ok(Prepared { plan, report_state: spec.report_state, subject, submitted: emitted })
}

async fn configure(cx: &RunContext, deployment: Option<&Deployment>, flow: &Flow) -> Result<RunSpec, PrepareError> {
    let configuring = Configuring {
        key: cx.offer.key,
        plugin: &*cx.around.plugin,
        settings: &cx.around.settings,
        worker_name: &cx.around.identity.name,
        worker_id: cx.around.identity.id.get().copied(),
        sandbox: &cx.around.sandbox,
        pool: &cx.offer.pool,
        flow_run: &cx.offer.flow_run,
        flow,
        deployment,
    };
    let value = |reference| async move { Ok::<_, PrepareError>(fetch(cx, &reference).await?.map(|found| found.value)) };
    Ok(configuring.spec(value).await??)
}

/// A block or a variable. What is secret in it is known from now on.
pub(super) async fn fetch(cx: &RunContext, reference: &Reference) -> Result<Option<Found>, PrepareError> {
    let since = cx.offer.shown;
    let (what, fetched) = match reference {
        Reference::Block { type_slug, name } => (
            "block",
            patiently(|| cx.around.api.block_by_name(type_slug, name, since)).await.map(|block| of_block(cx, block)),
        ),
        Reference::BlockById(id) => {
            ("block", patiently(|| cx.around.api.block_by_id(*id, since)).await.map(|block| of_block(cx, block)))
        }
        Reference::Variable(name) => {
            let variable = patiently(|| cx.around.api.variable(name, since)).await;
            let value = variable.map(|variable| variable.map(|variable| variable.value));
            if let Ok(Some(value)) = &value {
                cx.around.secrets.learn_named(&json!({ name.as_str(): value }));
            }
            ("variable", value.map(|value| value.map(Found::from)))
        }
    };
    fetched.map_err(|source| PrepareError::Unreadable { what, source })
}

fn of_block(cx: &RunContext, block: Option<BlockDocument>) -> Option<Found> {
    let block = block?;
    cx.around.secrets.learn(block.secrets());
    Some(pulling::found(block))
}

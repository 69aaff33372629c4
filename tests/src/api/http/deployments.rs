//! Deployments.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use central_api_wire::state::StateProposal;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;
use worker_core::ids::{BlockDocumentId, DeploymentId, FlowId};

use super::Api;
use super::filters::{Named, Page};
use super::input::{InPath, Input, created};
use super::refusal::Refusal;
use super::shapes::{deployment_json, run_json};
use crate::api::model::{Collision, Policy, now};
use crate::api::store::{NewDeployment, NewRun, ScheduledRuns, StoreError};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/deployments/", post(create))
        .route("/deployments/filter", post(filter))
        .route("/deployments/name/{flow}/{name}", get(read_named))
        .route("/deployments/{id}", get(read).patch(update).delete(delete))
        .route("/deployments/{id}/create_flow_run", post(create_flow_run))
}

#[derive(Deserialize)]
struct ConcurrencyOptions {
    collision_strategy: Collision,
    grace_period_seconds: Option<u32>,
}

#[derive(Deserialize)]
struct DeploymentCreate {
    name: String,
    flow_id: FlowId,
    work_pool_name: Option<String>,
    work_queue_name: Option<String>,
    version: Option<String>,
    description: Option<String>,
    #[serde(default)]
    paused: bool,
    concurrency_limit: Option<u32>,
    concurrency_options: Option<ConcurrencyOptions>,
    job_variables: Option<Map<String, Value>>,
    parameters: Option<Map<String, Value>>,
    tags: Option<Vec<String>>,
    labels: Option<Map<String, Value>>,
    path: Option<String>,
    pull_steps: Option<Value>,
    entrypoint: Option<String>,
    storage_document_id: Option<BlockDocumentId>,
    enforce_parameter_schema: Option<bool>,
}

impl From<DeploymentCreate> for NewDeployment {
    fn from(body: DeploymentCreate) -> Self {
        Self {
            flow_id: body.flow_id,
            name: body.name,
            work_pool_name: body.work_pool_name,
            work_queue_name: body.work_queue_name,
            version: body.version,
            description: body.description,
            paused: body.paused,
            concurrency_limit: body.concurrency_limit,
            grace_period_seconds: body.concurrency_options.as_ref().and_then(|options| options.grace_period_seconds),
            collision: body.concurrency_options.map(|options| options.collision_strategy),
            job_variables: body.job_variables.unwrap_or_default(),
            parameters: body.parameters.unwrap_or_default(),
            tags: body.tags.unwrap_or_default(),
            labels: body.labels.unwrap_or_default(),
            path: body.path,
            pull_steps: body.pull_steps,
            entrypoint: body.entrypoint,
            storage_document_id: body.storage_document_id,
            enforce_parameter_schema: body.enforce_parameter_schema.unwrap_or(true),
        }
    }
}

async fn create(
    State(api): State<Api>,
    Input(body): Input<DeploymentCreate>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let now = now();
    api.store.write(|tables| {
        let (id, is_new) = tables.create_deployment(body.into(), now)?;
        Ok((created(is_new), Json(deployment_json(tables, tables.deployment(id)?, now))))
    })
}

async fn read(State(api): State<Api>, InPath(id): InPath<DeploymentId>) -> Result<Json<Value>, Refusal> {
    api.store.read(|tables| Ok(Json(deployment_json(tables, tables.deployment(id)?, now()))))
}

async fn read_named(
    State(api): State<Api>,
    InPath((flow, name)): InPath<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    api.store.read(|tables| {
        let of_flow = |id| tables.flow(id).is_ok_and(|row| row.name == flow);
        let found = tables.deployments().find(|row| row.name == name && of_flow(row.flow_id));
        Ok(Json(deployment_json(tables, found.ok_or(StoreError::DeploymentNotFound)?, now())))
    })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DeploymentsFilter {
    deployments: Option<Named<DeploymentId>>,
    #[serde(flatten)]
    page: Page,
}

async fn filter(State(api): State<Api>, Input(query): Input<DeploymentsFilter>) -> Json<Vec<Value>> {
    let wanted = query.deployments.as_ref();
    Json(api.store.read(|tables| {
        let found = tables.deployments().filter(|row| wanted.is_none_or(|filter| filter.holds(&row.id, &row.name)));
        query.page.of(found.map(|row| deployment_json(tables, row, now())))
    }))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DeploymentUpdate {
    paused: Option<bool>,
    job_variables: Option<Map<String, Value>>,
    parameters: Option<Map<String, Value>>,
    tags: Option<Vec<String>>,
    concurrency_limit: Option<u32>,
}

async fn update(
    State(api): State<Api>,
    InPath(id): InPath<DeploymentId>,
    Input(body): Input<DeploymentUpdate>,
) -> Result<StatusCode, Refusal> {
    api.store.write(|tables| {
        let row = tables.deployment_mut(id)?;
        row.updated = now();
        row.paused = body.paused.unwrap_or(row.paused);
        row.concurrency_limit = body.concurrency_limit.or(row.concurrency_limit);
        if let Some(variables) = body.job_variables {
            row.job_variables = variables;
        }
        if let Some(parameters) = body.parameters {
            row.parameters = parameters;
        }
        if let Some(tags) = body.tags {
            row.tags = tags;
        }
        Ok(StatusCode::NO_CONTENT)
    })
}

async fn delete(State(api): State<Api>, InPath(id): InPath<DeploymentId>) -> Result<StatusCode, Refusal> {
    api.store.write(|tables| tables.delete_deployment(id, ScheduledRuns::Delete))?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RunOfDeployment {
    state: Option<StateProposal>,
    name: Option<String>,
    parameters: Option<Map<String, Value>>,
    context: Option<Map<String, Value>>,
    empirical_policy: Option<Policy>,
    tags: Option<Vec<String>>,
    labels: Option<Map<String, Value>>,
    job_variables: Option<Map<String, Value>>,
    idempotency_key: Option<String>,
    parent_task_run_id: Option<Uuid>,
    work_queue_name: Option<String>,
}

async fn create_flow_run(
    State(api): State<Api>,
    InPath(id): InPath<DeploymentId>,
    Input(body): Input<RunOfDeployment>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let now = now();
    api.store.write(|tables| {
        let row = tables.deployment(id)?;
        let mut new = NewRun::of_deployment(row);
        if let Some(queue) = &body.work_queue_name {
            let pool = row.work_queue_id.and_then(|id| tables.queue_by_id(id)).map(|queue| queue.work_pool_id);
            let pool = pool.and_then(|id| tables.pool_by_id(id)).map(|pool| pool.name.clone()).unwrap_or_default();
            new.work_queue_id = Some(tables.ensure_queue(&pool, queue, now)?);
        }
        new.state = body.state.unwrap_or(new.state);
        new.name = body.name;
        new.parameters.extend(body.parameters.unwrap_or_default());
        new.context = body.context.unwrap_or_default();
        new.policy = body.empirical_policy.unwrap_or_default();
        new.tags.extend(body.tags.unwrap_or_default());
        new.labels = body.labels.unwrap_or_default();
        new.job_variables = body.job_variables.unwrap_or_default();
        new.idempotency_key = body.idempotency_key;
        new.parent_task_run_id = body.parent_task_run_id;
        let (run, is_new) = tables.create_run(new, now)?;
        Ok((created(is_new), Json(run_json(tables, tables.run(run)?, now))))
    })
}

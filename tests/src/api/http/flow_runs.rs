//! Flow runs.

use axum::extract::{Query, State};
use axum::routing::{get, patch, post};
use axum::{Json, Router};
use central_api_wire::state::{SetStateRequest, StateProposal, StateType};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;
use worker_core::ids::{DeploymentId, FlowId, RunId};

use super::Api;
use super::filters::RunsFilter;
use super::input::{InPath, Input, created};
use super::refusal::Refusal;
use super::shapes::{outcome_json, run_json, state_json};
use crate::api::model::{Policy, now};
use crate::api::store::{NewRun, Proposer, StoreError};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/flow_runs/", post(create))
        .route("/flow_runs/filter", post(filter))
        .route("/flow_runs/count", post(count))
        .route("/flow_runs/{id}", get(read).patch(update).delete(delete))
        .route("/flow_runs/{id}/labels", patch(update_labels))
        .route("/flow_runs/{id}/set_state", post(set_state))
        .route("/flow_runs/{id}/resume", post(resume))
        .route("/flow_run_states/", get(states))
}

#[derive(Deserialize)]
struct FlowRunCreate {
    flow_id: FlowId,
    deployment_id: Option<DeploymentId>,
    state: Option<StateProposal>,
    name: Option<String>,
    flow_version: Option<String>,
    parameters: Option<Map<String, Value>>,
    context: Option<Map<String, Value>>,
    parent_task_run_id: Option<Uuid>,
    empirical_policy: Option<Policy>,
    tags: Option<Vec<String>>,
    labels: Option<Map<String, Value>>,
    idempotency_key: Option<String>,
    work_pool_name: Option<String>,
    work_queue_name: Option<String>,
    job_variables: Option<Map<String, Value>>,
}

async fn create(
    State(api): State<Api>,
    Input(body): Input<FlowRunCreate>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let now = now();
    api.store.write(|tables| {
        let mut new = NewRun::of_flow(body.flow_id);
        new.work_queue_id = match (&body.work_pool_name, &body.work_queue_name) {
            (Some(pool), Some(queue)) => Some(tables.queue(pool, queue)?.id),
            (Some(pool), None) => Some(tables.pool(pool)?.default_queue_id),
            (None, _) => None,
        };
        new.deployment_id = body.deployment_id;
        new.state = body.state.unwrap_or(new.state);
        new.name = body.name;
        new.flow_version = body.flow_version;
        new.parameters = body.parameters.unwrap_or_default();
        new.context = body.context.unwrap_or_default();
        new.parent_task_run_id = body.parent_task_run_id;
        new.policy = body.empirical_policy.unwrap_or_default();
        new.tags = body.tags.unwrap_or_default();
        new.labels = body.labels.unwrap_or_default();
        new.idempotency_key = body.idempotency_key;
        new.job_variables = body.job_variables.unwrap_or_default();
        let (id, is_new) = tables.create_run(new, now)?;
        Ok((created(is_new), Json(run_json(tables, tables.run(id)?, now))))
    })
}

async fn read(State(api): State<Api>, InPath(id): InPath<RunId>) -> Result<Json<Value>, Refusal> {
    api.store.read(|tables| Ok(Json(run_json(tables, tables.run(id)?, now()))))
}

async fn filter(State(api): State<Api>, Input(query): Input<RunsFilter>) -> Json<Vec<Value>> {
    Json(api.store.read(|tables| query.page(tables).into_iter().map(|run| run_json(tables, run, now())).collect()))
}

async fn count(State(api): State<Api>, Input(query): Input<RunsFilter>) -> Json<usize> {
    Json(api.store.read(|tables| tables.runs().filter(|run| query.holds(tables, run)).count()))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FlowRunUpdate {
    name: Option<String>,
    flow_version: Option<String>,
    parameters: Option<Map<String, Value>>,
    empirical_policy: Option<Policy>,
    tags: Option<Vec<String>>,
    infrastructure_pid: Option<String>,
    job_variables: Option<Map<String, Value>>,
}

async fn update(
    State(api): State<Api>,
    InPath(id): InPath<RunId>,
    Input(body): Input<FlowRunUpdate>,
) -> Result<StatusCode, Refusal> {
    api.store.write(|tables| {
        let run = tables.run_mut(id)?;
        run.updated = now();
        let scheduled = run.state_type() == Some(&StateType::Scheduled);
        if let Some(variables) = body.job_variables {
            if !scheduled {
                let state = run.state_type().map_or("", StateType::as_str);
                let detail = format!("Job variables for a flow run in state {state} cannot be updated");
                return Err(Refusal::Detail(StatusCode::BAD_REQUEST, detail));
            }
            run.job_variables = variables;
        }
        run.name = body.name.unwrap_or_else(|| run.name.clone());
        run.flow_version = body.flow_version.or_else(|| run.flow_version.take());
        run.parameters = body.parameters.unwrap_or_else(|| run.parameters.clone());
        run.policy = body.empirical_policy.unwrap_or_else(|| run.policy.clone());
        run.tags = body.tags.unwrap_or_else(|| run.tags.clone());
        run.infrastructure_pid = body.infrastructure_pid.or_else(|| run.infrastructure_pid.take());
        Ok(StatusCode::NO_CONTENT)
    })
}

async fn delete(State(api): State<Api>, InPath(id): InPath<RunId>) -> Result<StatusCode, Refusal> {
    api.store.write(|tables| tables.delete_run(id))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn update_labels(
    State(api): State<Api>,
    InPath(id): InPath<RunId>,
    Input(labels): Input<Map<String, Value>>,
) -> Result<StatusCode, Refusal> {
    if !api.store.options().version.has_labels() {
        return Err(Refusal::NoSuchRoute);
    }
    api.store.write(|tables| {
        let run = tables.run_mut(id).map_err(|_| StoreError::RunMissing(id))?;
        run.labels.extend(labels);
        Ok(StatusCode::NO_CONTENT)
    })
}

async fn set_state(
    State(api): State<Api>,
    InPath(id): InPath<RunId>,
    proposer: Proposer,
    Input(body): Input<Value>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let request = SetStateRequest::deserialize(&body)
        .map_err(|error| Refusal::invalid("value_error", &["state"], &error.to_string(), body.clone()))?;
    if let StateType::Other(unknown) = &request.state.state_type {
        return Err(unknown_type(unknown, body));
    }
    let proposal = proposer.proposes(request.state, request.force);
    let outcome = api.store.write(|tables| tables.set_state(id, &proposal, now()))?;
    Ok((created(outcome.stored), Json(outcome_json(&outcome))))
}

async fn resume(
    State(api): State<Api>,
    InPath(id): InPath<RunId>,
    proposer: Proposer,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let outcome = api.store.write(|tables| tables.resume(id, proposer, now()))?;
    Ok((created(outcome.stored), Json(outcome_json(&outcome))))
}

fn unknown_type(unknown: &str, body: Value) -> Refusal {
    let known = "'SCHEDULED', 'PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED', 'CRASHED', 'PAUSED' or \
                 'CANCELLING'";
    let complaint = json!({
        "type": "enum",
        "loc": ["body", "state", "type"],
        "msg": format!("Input should be {known}"),
        "input": unknown,
        "ctx": {"expected": known},
    });
    Refusal::complain(vec![complaint], body)
}

#[derive(Deserialize)]
struct OfRun {
    flow_run_id: RunId,
}

async fn states(State(api): State<Api>, Query(OfRun { flow_run_id }): Query<OfRun>) -> Json<Vec<Value>> {
    let history = api.store.history(flow_run_id);
    Json(history.iter().map(state_json).collect())
}

//! Task runs: the stand-ins of subflows in their parents. Tasks themselves tell of their states by events.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use central_api_wire::state::{SetStateRequest, StateProposal, StateType};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Api;
use super::filters::Page;
use super::input::{InPath, Input, created};
use super::refusal::Refusal;
use super::shapes::draft_json;
use crate::api::model::now;
use crate::api::rules::Draft;
use crate::api::store::{StoreError, TaskRunRow};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/task_runs/", post(create))
        .route("/task_runs/filter", post(filter))
        .route("/task_runs/{id}", get(read))
        .route("/task_runs/{id}/set_state", post(set_state))
}

#[derive(Deserialize)]
struct TaskRunCreate {
    id: Option<Uuid>,
    state: Option<StateProposal>,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

/// What makes two creations the same task run.
const IDENTITY: [&str; 3] = ["flow_run_id", "task_key", "dynamic_key"];

async fn create(State(api): State<Api>, Input(body): Input<TaskRunCreate>) -> (StatusCode, Json<Value>) {
    let now = now();
    let state = body.state.as_ref().map_or_else(|| Draft::new(StateType::Pending), Draft::from);
    let mut fields = body.fields;
    api.store.write(|tables| {
        let same = |row: &&TaskRunRow| IDENTITY.iter().all(|key| row.fields.get(*key) == fields.get(*key));
        if let Some(known) = tables.task_runs.values().find(same) {
            return (StatusCode::OK, Json(shape(known)));
        }
        let id = body.id.unwrap_or_else(Uuid::new_v4);
        fields.insert("id".to_owned(), json!(id));
        let mut row = TaskRunRow { created: now, fields };
        enter(&mut row, draft_json(&state, now));
        let answer = Json(shape(&row));
        tables.task_runs.insert(id, row);
        (StatusCode::CREATED, answer)
    })
}

async fn read(State(api): State<Api>, InPath(id): InPath<Uuid>) -> Result<Json<Value>, Refusal> {
    api.store.read(|tables| {
        let row = tables.task_runs.get(&id).ok_or(StoreError::TaskRunNotFound)?;
        Ok(Json(shape(row)))
    })
}

async fn filter(State(api): State<Api>, Input(page): Input<Page>) -> Json<Vec<Value>> {
    Json(api.store.read(|tables| page.of(tables.task_runs.values().map(shape))))
}

async fn set_state(
    State(api): State<Api>,
    InPath(id): InPath<Uuid>,
    Input(body): Input<SetStateRequest>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let state = draft_json(&Draft::from(&body.state), now());
    api.store.write(|tables| {
        let row = tables.task_runs.get_mut(&id).ok_or(StoreError::TaskRunNotFound)?;
        enter(row, state);
        let state = row.fields.get("state");
        let answer = json!({"state": state, "status": "ACCEPT", "details": {"type": "accept_details"}});
        Ok((created(true), Json(answer)))
    })
}

/// Puts a task run into a state.
fn enter(row: &mut TaskRunRow, mut state: Value) {
    if let Some(details) = state.get_mut("state_details").and_then(Value::as_object_mut) {
        for (detail, field) in [("flow_run_id", "flow_run_id"), ("task_run_id", "id")] {
            details.insert(detail.to_owned(), row.fields.get(field).cloned().unwrap_or_default());
        }
    }
    for (field, part) in [("state_id", "id"), ("state_type", "type"), ("state_name", "name")] {
        row.fields.insert(field.to_owned(), state.get(part).cloned().unwrap_or_default());
    }
    row.fields.insert("state".to_owned(), state);
}

/// What a task run has whether the client sent it or not.
fn shape(row: &TaskRunRow) -> Value {
    let mut shape = json!({
        "created": row.created,
        "updated": row.created,
        "flow_run_id": null,
        "cache_key": null,
        "cache_expiration": null,
        "task_version": null,
        "empirical_policy": {},
        "tags": [],
        "labels": {},
        "task_inputs": {},
        "run_count": 0,
        "flow_run_run_count": 0,
        "expected_start_time": row.created,
        "next_scheduled_start_time": null,
        "start_time": null,
        "end_time": null,
        "total_run_time": 0.0,
        "estimated_run_time": 0.0,
        "estimated_start_time_delta": 0.0,
    });
    if let Some(fields) = shape.as_object_mut() {
        fields.extend(row.fields.clone());
    }
    shape
}

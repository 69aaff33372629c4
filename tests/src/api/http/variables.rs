//! Variables.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::Api;
use super::input::{InPath, Input};
use super::refusal::Refusal;
use super::shapes::variable_json;
use crate::api::model::{VariableRow, now};

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/variables/", post(create)).route("/variables/name/{name}", get(read).delete(delete))
}

#[derive(Deserialize)]
struct VariableCreate {
    name: String,
    value: Value,
    #[serde(default)]
    tags: Vec<String>,
}

async fn create(
    State(api): State<Api>,
    Input(body): Input<VariableCreate>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let row = VariableRow { id: Uuid::new_v4(), created: now(), name: body.name, value: body.value, tags: body.tags };
    let answer = Json(variable_json(&row));
    api.store.write(|tables| tables.create_variable(row))?;
    Ok((StatusCode::CREATED, answer))
}

async fn read(State(api): State<Api>, InPath(name): InPath<String>) -> Result<Json<Value>, Refusal> {
    api.store.read(|tables| Ok(Json(variable_json(tables.variable(&name)?))))
}

async fn delete(State(api): State<Api>, InPath(name): InPath<String>) -> Result<StatusCode, Refusal> {
    api.store.write(|tables| tables.delete_variable(&name))?;
    Ok(StatusCode::NO_CONTENT)
}

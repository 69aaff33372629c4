//! Flows.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};
use worker_core::ids::FlowId;

use super::Api;
use super::filters::{Named, Page};
use super::input::{InPath, Input, created};
use super::refusal::Refusal;
use super::shapes::flow_json;
use crate::api::model::now;
use crate::api::store::StoreError;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/flows/", post(create))
        .route("/flows/filter", post(filter))
        .route("/flows/name/{name}", get(read_named))
        .route("/flows/{id}", get(read).delete(delete))
}

#[derive(Deserialize)]
struct FlowCreate {
    name: String,
    #[serde(default)]
    tags: Vec<String>,
    labels: Option<Map<String, Value>>,
}

async fn create(State(api): State<Api>, Input(flow): Input<FlowCreate>) -> Result<(StatusCode, Json<Value>), Refusal> {
    api.store.write(|tables| {
        let (id, is_new) = tables.create_flow(&flow.name, flow.tags, flow.labels.unwrap_or_default(), now());
        Ok((created(is_new), Json(flow_json(tables.flow(id)?))))
    })
}

async fn read(State(api): State<Api>, InPath(id): InPath<FlowId>) -> Result<Json<Value>, Refusal> {
    api.store.read(|tables| Ok(Json(flow_json(tables.flow(id)?))))
}

async fn delete(State(api): State<Api>, InPath(id): InPath<FlowId>) -> Result<StatusCode, Refusal> {
    api.store.write(|tables| tables.delete_flow(id))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn read_named(State(api): State<Api>, InPath(name): InPath<String>) -> Result<Json<Value>, Refusal> {
    api.store.read(|tables| {
        let flow = tables.flows().find(|flow| flow.name == name).ok_or(StoreError::FlowNotFound)?;
        Ok(Json(flow_json(flow)))
    })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FlowsFilter {
    flows: Option<Named<FlowId>>,
    #[serde(flatten)]
    page: Page,
}

async fn filter(State(api): State<Api>, Input(query): Input<FlowsFilter>) -> Json<Vec<Value>> {
    let wanted = query.flows.as_ref();
    Json(api.store.read(|tables| {
        let found = tables.flows().filter(|flow| wanted.is_none_or(|filter| filter.holds(&flow.id, &flow.name)));
        query.page.of(found.map(flow_json))
    }))
}

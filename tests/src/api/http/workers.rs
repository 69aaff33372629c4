//! Workers and their REST heartbeats.

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use central_api_wire::work_pool::Heartbeat;
use http::StatusCode;
use serde_json::Value;

use super::Api;
use super::filters::Page;
use super::input::{InPath, Input};
use super::refusal::Refusal;
use super::shapes::worker_json;
use crate::api::model::now;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/work_pools/{pool}/workers/heartbeat", post(heartbeat))
        .route("/work_pools/{pool}/workers/filter", post(filter))
}

/// Self-hosted servers take no notice of `return_id` and `metadata`.
async fn heartbeat(
    State(api): State<Api>,
    InPath(pool): InPath<String>,
    Input(body): Input<Heartbeat>,
) -> Result<StatusCode, Refusal> {
    api.store.write(|tables| {
        let id = tables.pool(&pool)?.id;
        tables.heartbeat(id, &body.name, body.heartbeat_interval_seconds, false, now());
        Ok(StatusCode::NO_CONTENT)
    })
}

async fn filter(
    State(api): State<Api>,
    InPath(pool): InPath<String>,
    Input(page): Input<Page>,
) -> Result<Json<Vec<Value>>, Refusal> {
    api.store.read(|tables| {
        let workers = tables.workers_of(&pool)?;
        Ok(Json(page.of(workers.map(|worker| worker_json(worker, now())))))
    })
}

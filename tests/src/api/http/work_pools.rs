//! Work pools, and the poll.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use central_api_wire::MAX_RUNS_PER_POLL;
use central_api_wire::flow_run::ScheduledRunsRequest;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use worker_core::ids::WorkPoolId;

use super::Api;
use super::filters::{Named, Page};
use super::input::{InPath, Input};
use super::refusal::Refusal;
use super::shapes::{offered_run_json, pool_json};
use crate::api::model::now;
use crate::api::schedule::Poll;
use crate::api::store::{NewPool, PoolChange};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/work_pools/", post(create))
        .route("/work_pools/filter", post(filter))
        .route("/work_pools/{name}", get(read).patch(update).delete(delete))
        .route("/work_pools/{name}/get_scheduled_flow_runs", post(poll))
}

#[derive(Deserialize)]
struct WorkPoolCreate {
    name: String,
    #[serde(rename = "type", default)]
    pool_type: Option<String>,
    description: Option<String>,
    base_job_template: Option<Map<String, Value>>,
    #[serde(default)]
    is_paused: bool,
    concurrency_limit: Option<u32>,
}

async fn create(
    State(api): State<Api>,
    Input(body): Input<WorkPoolCreate>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let new = NewPool {
        name: body.name,
        pool_type: body.pool_type.unwrap_or_else(|| "prefect-agent".to_owned()),
        description: body.description,
        base_job_template: body.base_job_template.unwrap_or_default(),
        is_paused: body.is_paused,
        concurrency_limit: body.concurrency_limit,
    };
    let name = new.name.clone();
    api.store.write(|tables| {
        tables.create_pool(new, now())?;
        Ok((StatusCode::CREATED, Json(pool_json(tables, tables.pool(&name)?, api.store.options().version))))
    })
}

async fn read(State(api): State<Api>, InPath(name): InPath<String>) -> Result<Json<Value>, Refusal> {
    let version = api.store.options().version;
    api.store.read(|tables| Ok(Json(pool_json(tables, tables.pool(&name)?, version))))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PoolsFilter {
    work_pools: Option<Named<WorkPoolId>>,
    #[serde(flatten)]
    page: Page,
}

async fn filter(State(api): State<Api>, Input(query): Input<PoolsFilter>) -> Json<Vec<Value>> {
    let (wanted, version) = (query.work_pools.as_ref(), api.store.options().version);
    Json(api.store.read(|tables| {
        let found = tables.pools().filter(|pool| wanted.is_none_or(|filter| filter.holds(&pool.id, &pool.name)));
        query.page.of(found.map(|pool| pool_json(tables, pool, version)))
    }))
}

async fn update(
    State(api): State<Api>,
    InPath(name): InPath<String>,
    Input(change): Input<PoolChange>,
) -> Result<StatusCode, Refusal> {
    api.store.write(|tables| tables.change_pool(&name, change, now()))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn delete(State(api): State<Api>, InPath(name): InPath<String>) -> Result<StatusCode, Refusal> {
    api.store.write(|tables| tables.delete_pool(&name))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn poll(
    State(api): State<Api>,
    InPath(name): InPath<String>,
    Input(body): Input<ScheduledRunsRequest>,
) -> Result<Json<Vec<Value>>, Refusal> {
    let limit = body.limit.unwrap_or(MAX_RUNS_PER_POLL);
    if limit > MAX_RUNS_PER_POLL {
        let message = format!("Input should be less than or equal to {MAX_RUNS_PER_POLL}");
        return Err(Refusal::invalid("less_than_equal", &["limit"], &message, json!(body)));
    }
    let poll = Poll { queues: None, before: body.scheduled_before, after: body.scheduled_after, limit };
    let queues = body.work_queue_names.unwrap_or_default();
    let now = now();
    api.store.write(|tables| {
        let due = tables.poll(&name, &queues, poll, now)?;
        Ok(Json(due.into_iter().map(|(pool, run)| offered_run_json(pool, run, now)).collect()))
    })
}

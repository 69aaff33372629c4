//! Work queues.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use worker_core::ids::WorkQueueId;

use super::Api;
use super::filters::{Choice, Page};
use super::input::{InPath, Input};
use super::refusal::Refusal;
use super::shapes::queue_json;
use crate::api::model::now;
use crate::api::store::{NewQueue, QueueChange};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/work_pools/{pool}/queues", post(create))
        .route("/work_pools/{pool}/queues/filter", post(filter))
        .route("/work_pools/{pool}/queues/{name}", get(read).patch(update).delete(delete))
        .route("/work_queues/{id}", get(read_by_id))
}

#[derive(Deserialize)]
struct WorkQueueCreate {
    name: String,
    #[serde(default)]
    is_paused: bool,
    concurrency_limit: Option<u32>,
    priority: Option<u32>,
}

async fn create(
    State(api): State<Api>,
    InPath(pool): InPath<String>,
    Input(body): Input<WorkQueueCreate>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let new = NewQueue {
        name: body.name.clone(),
        is_paused: body.is_paused,
        concurrency_limit: body.concurrency_limit,
        priority: body.priority,
    };
    api.store.write(|tables| {
        tables.create_queue(&pool, new, now())?;
        Ok((StatusCode::CREATED, Json(queue_json(tables, tables.queue(&pool, &body.name)?))))
    })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct QueuesFilter {
    work_queues: Option<ByName>,
    #[serde(flatten)]
    page: Page,
}

#[derive(Deserialize)]
struct ByName {
    name: Option<Choice<String>>,
}

async fn filter(
    State(api): State<Api>,
    InPath(pool): InPath<String>,
    Input(query): Input<QueuesFilter>,
) -> Result<Json<Vec<Value>>, Refusal> {
    let names = query.work_queues.as_ref().and_then(|filter| filter.name.as_ref());
    api.store.read(|tables| {
        let mut found: Vec<_> =
            tables.queues_of(&pool)?.filter(|queue| names.is_none_or(|names| names.holds(&queue.name))).collect();
        found.sort_by_key(|queue| queue.priority);
        Ok(Json(query.page.of(found.into_iter().map(|queue| queue_json(tables, queue)))))
    })
}

async fn read(State(api): State<Api>, InPath((pool, name)): InPath<(String, String)>) -> Result<Json<Value>, Refusal> {
    api.store.read(|tables| Ok(Json(queue_json(tables, tables.queue(&pool, &name)?))))
}

async fn read_by_id(State(api): State<Api>, InPath(id): InPath<WorkQueueId>) -> Result<Json<Value>, Refusal> {
    api.store.read(|tables| {
        let queue = tables.queue_by_id(id);
        let missing = || Refusal::Detail(StatusCode::NOT_FOUND, "work queue not found".to_owned());
        Ok(Json(queue_json(tables, queue.ok_or_else(missing)?)))
    })
}

async fn update(
    State(api): State<Api>,
    InPath((pool, name)): InPath<(String, String)>,
    Input(change): Input<QueueChange>,
) -> Result<StatusCode, Refusal> {
    api.store.write(|tables| {
        let id = tables.queue(&pool, &name)?.id;
        tables.change_queue(id, change, now());
        Ok(StatusCode::NO_CONTENT)
    })
}

async fn delete(State(api): State<Api>, InPath((pool, name)): InPath<(String, String)>) -> Result<StatusCode, Refusal> {
    api.store.write(|tables| {
        let id = tables.queue(&pool, &name)?.id;
        tables.delete_queue(id);
        Ok(StatusCode::NO_CONTENT)
    })
}

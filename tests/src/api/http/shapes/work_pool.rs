//! Work pools, queues, workers.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::model::{Pool, Queue, WorkerRow};
use crate::api::store::Tables;
use crate::api::version::Version;

/// A pool, as a server of a version tells it.
pub(in crate::api) fn pool_json(tables: &Tables, pool: &Pool, version: Version) -> Value {
    let mut shape = json!({
        "id": pool.id,
        "created": pool.created,
        "updated": pool.updated,
        "name": pool.name,
        "description": pool.description,
        "type": pool.pool_type,
        "base_job_template": pool.base_job_template,
        "is_paused": pool.is_paused,
        "concurrency_limit": pool.concurrency_limit,
        "status": pool.status(),
        "default_queue_id": pool.default_queue_id,
    });
    if version.has_storage_configuration()
        && let Some(fields) = shape.as_object_mut()
    {
        let active = pool.concurrency_limit.map(|_| tables.active_slots(pool.id));
        fields.insert("storage_configuration".to_owned(), json!(pool.storage_configuration));
        fields.insert("active_slots".to_owned(), json!(active));
    }
    shape
}

pub(in crate::api) fn queue_json(tables: &Tables, queue: &Queue) -> Value {
    let pool = tables.pool_by_id(queue.work_pool_id);
    json!({
        "id": queue.id,
        "created": queue.created,
        "updated": queue.updated,
        "name": queue.name,
        "description": "",
        "is_paused": queue.is_paused,
        "concurrency_limit": queue.concurrency_limit,
        "priority": queue.priority,
        "work_pool_id": queue.work_pool_id,
        "filter": null,
        "last_polled": queue.last_polled,
        "work_pool_name": pool.map(|pool| &pool.name),
        "status": queue.status(),
        "active_slots": queue.concurrency_limit.map(|_| tables.active_queue_slots(queue.id)),
    })
}

pub(in crate::api) fn worker_json(worker: &WorkerRow, now: Timestamp) -> Value {
    json!({
        "id": worker.id,
        "created": worker.created,
        "updated": worker.last_heartbeat,
        "name": worker.name,
        "work_pool_id": worker.work_pool_id,
        "last_heartbeat_time": worker.last_heartbeat,
        "heartbeat_interval_seconds": worker.heartbeat_interval_seconds,
        "status": if worker.is_online(now) { "ONLINE" } else { "OFFLINE" },
    })
}

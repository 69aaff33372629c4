//! Deployments.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::model::DeploymentRow;
use crate::api::store::Tables;

pub(in crate::api) fn deployment_json(tables: &Tables, row: &DeploymentRow, now: Timestamp) -> Value {
    let queue = row.work_queue_id.and_then(|id| tables.queue_by_id(id));
    let pool = queue.and_then(|queue| tables.pool_by_id(queue.work_pool_id));
    let last_polled = queue.and_then(|queue| queue.last_polled);
    let limit = row.concurrency_limit.map(|limit| {
        json!({
            "id": row.id,
            "created": row.created,
            "updated": row.updated,
            "active": true,
            "name": format!("deployment:{}", row.id),
            "limit": limit,
            "active_slots": tables.taken_slots(row.id, now),
            "slot_decay_per_second": 0.0,
        })
    });
    let options = row
        .collision
        .map(|collision| json!({"collision_strategy": collision, "grace_period_seconds": row.grace_period_seconds}));
    json!({
        "id": row.id,
        "created": row.created,
        "updated": row.updated,
        "name": row.name,
        "version": row.version,
        "description": row.description,
        "flow_id": row.flow_id,
        "paused": row.paused,
        "schedules": [],
        "concurrency_limit": null,
        "global_concurrency_limit": limit,
        "concurrency_options": options,
        "job_variables": row.job_variables,
        "parameters": row.parameters,
        "tags": row.tags,
        "labels": row.labels,
        "work_queue_name": queue.map(|queue| &queue.name),
        "work_queue_id": row.work_queue_id,
        "last_polled": last_polled,
        "parameter_openapi_schema": {},
        "path": row.path,
        "pull_steps": row.pull_steps,
        "entrypoint": row.entrypoint,
        "storage_document_id": row.storage_document_id,
        "infrastructure_document_id": null,
        "created_by": null,
        "updated_by": null,
        "work_pool_name": pool.map(|pool| &pool.name),
        "status": if last_polled.is_some() { "READY" } else { "NOT_READY" },
        "enforce_parameter_schema": row.enforce_parameter_schema,
    })
}

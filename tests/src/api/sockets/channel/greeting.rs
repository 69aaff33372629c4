//! The answer to a worker's greeting: its pool and queues, and what it may do.

use central_api_wire::channel::{
    CAPABILITY_CLEANUP, CAPABILITY_HEARTBEAT, CAPABILITY_SNAPSHOT, CHANNEL_VERSION, Hello,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;
use worker_core::ids::WorkPoolId;

use super::frames::{Refused, server_frame};
use super::session::Session;
use crate::api::http::pool_json;
use crate::api::store::{Change, NewPool, PoolChange, Tables};
use crate::api::version::Version;

/// Finds or makes the pool, fills its template, and books the first heartbeat.
pub(super) fn greet(
    tables: &mut Tables,
    pool: &str,
    hello: &Hello,
    connection: Uuid,
    version: Version,
    now: Timestamp,
) -> Result<(Session, Value), Refused> {
    if !hello.supported_channel_versions.iter().any(|offered| offered == CHANNEL_VERSION) {
        return Err(Refused::UnsupportedVersion);
    }
    let pool_id = resolve_pool(tables, pool, hello, now)?;
    let queues = resolve_queues(tables, pool, &hello.work_queue_names)?;
    // Taken before the template is filled, so that this worker too is told of the change, as on the real server.
    let revision = tables.pool_by_id(pool_id).map_or(0, |pool| pool.revision);
    fill_template(tables, pool, hello, now);
    tables.heartbeat(pool_id, &hello.worker_name, Some(hello.heartbeat_interval_seconds), true, now);

    let cleanup = hello.requested_capabilities.iter().any(|asked| asked == CAPABILITY_CLEANUP)
        && !hello.handled_cleanup_kinds.is_empty()
        && hello.max_cleanup_concurrency > 0;
    let mut accepted = vec![CAPABILITY_HEARTBEAT, CAPABILITY_SNAPSHOT];
    accepted.extend(cleanup.then_some(CAPABILITY_CLEANUP));
    let rejected: Vec<&String> =
        hello.requested_capabilities.iter().filter(|asked| !accepted.contains(&asked.as_str())).collect();
    let max_cleanups = if cleanup { hello.max_cleanup_concurrency } else { 0 };
    let snapshot = tables.pool_by_id(pool_id).map(|pool| pool_json(tables, pool, version));
    let ready = json!({
        "consumer_id": hello.consumer_id,
        "worker_id": null,
        "selected_channel_version": CHANNEL_VERSION,
        "effective_heartbeat_interval_seconds": hello.heartbeat_interval_seconds,
        "accepted_capabilities": accepted,
        "rejected_capabilities": rejected,
        "effective_max_cleanup_concurrency": max_cleanups,
        "resolved_work_queues": queues,
        "initial_snapshot": {"snapshot_sequence": 1, "reason": "initial", "work_pool": snapshot},
    });
    let session = Session {
        pool_id,
        consumer_id: hello.consumer_id,
        worker_name: hello.worker_name.clone(),
        connection,
        cleanup_kinds: if cleanup { hello.handled_cleanup_kinds.clone() } else { Vec::new() },
        max_cleanups: usize::try_from(max_cleanups).unwrap_or(usize::MAX),
        sequence: 1,
        revision,
    };
    Ok((session, server_frame("worker.ready.v1", &ready)))
}

fn resolve_pool(tables: &mut Tables, pool: &str, hello: &Hello, now: Timestamp) -> Result<WorkPoolId, Refused> {
    if let Ok(known) = tables.pool(pool) {
        return Ok(known.id);
    }
    if !hello.create_pool_if_not_found {
        return Err(Refused::AuthorizationFailed);
    }
    let mut new = NewPool::new(pool, &hello.worker_type);
    new.base_job_template = hello.default_base_job_template.clone().unwrap_or_default();
    tables.create_pool(new, now).map_err(|_| Refused::AuthorizationFailed)
}

fn resolve_queues(tables: &Tables, pool: &str, names: &[String]) -> Result<Vec<Value>, Refused> {
    let mut queues: Vec<_> = if names.is_empty() {
        tables.queues_of(pool).map_err(|_| Refused::AuthorizationFailed)?.collect()
    } else {
        let named = names.iter().map(|name| tables.queue(pool, name).map_err(|_| Refused::AuthorizationFailed));
        named.collect::<Result<_, _>>()?
    };
    queues.sort_by_key(|queue| queue.priority);
    queues.dedup_by_key(|queue| queue.id);
    Ok(queues.into_iter().map(|queue| json!({"id": queue.id, "name": queue.name})).collect())
}

fn fill_template(tables: &mut Tables, pool: &str, hello: &Hello, now: Timestamp) {
    let is_empty = tables.pool(pool).is_ok_and(|pool| pool.base_job_template.is_empty());
    let default = hello.default_base_job_template.as_ref().filter(|template| is_empty && !template.is_empty());
    let Some(template) = default else { return };
    let change = PoolChange { base_job_template: Change::To(template.clone()), ..PoolChange::default() };
    if let Err(error) = tables.change_pool(pool, change, now) {
        tracing::debug!(%error, "the pool went away during the greeting");
    }
}

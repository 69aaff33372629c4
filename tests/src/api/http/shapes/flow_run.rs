//! Flow runs.

use central_api_wire::state::{State, StateType};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use worker_core::ids::WorkPoolId;

use super::state::state_json;
use crate::api::model::Run;
use crate::api::store::Tables;

/// A run as it is read: with its state, its queue and its pool.
pub(in crate::api) fn run_json(tables: &Tables, run: &Run, now: Timestamp) -> Value {
    let queue = run.work_queue_id.and_then(|id| tables.queue_by_id(id));
    let pool = queue.and_then(|queue| tables.pool_by_id(queue.work_pool_id));
    let mut shape = bare_run_json(run, now);
    if let Some(fields) = shape.as_object_mut() {
        fields.insert("work_queue_name".to_owned(), json!(queue.map(|queue| &queue.name)));
        fields.insert("work_pool_id".to_owned(), json!(pool.map(|pool| pool.id)));
        fields.insert("work_pool_name".to_owned(), json!(pool.map(|pool| &pool.name)));
        fields.insert("state".to_owned(), json!(run.state().map(state_json)));
    }
    shape
}

/// A run as a poll offers it: its state is left out, and so are the names of its queue and pool.
pub(in crate::api) fn offered_run_json(pool: WorkPoolId, run: &Run, now: Timestamp) -> Value {
    json!({"work_pool_id": pool, "work_queue_id": run.work_queue_id, "flow_run": bare_run_json(run, now)})
}

fn bare_run_json(run: &Run, now: Timestamp) -> Value {
    let state = run.state();
    json!({
        "id": run.id,
        "created": run.created,
        "updated": run.updated,
        "name": run.name,
        "flow_id": run.flow_id,
        "state_id": state.and_then(|state| state.id),
        "deployment_id": run.deployment_id,
        "deployment_version": null,
        "work_queue_id": run.work_queue_id,
        "work_queue_name": null,
        "flow_version": run.flow_version,
        "parameters": run.parameters,
        "idempotency_key": run.idempotency_key,
        "context": run.context,
        "empirical_policy": run.policy,
        "tags": run.tags,
        "labels": run.labels,
        "parent_task_run_id": run.parent_task_run_id,
        "state_type": run.state_type(),
        "state_name": state.map(State::name),
        "run_count": run.run_count,
        "expected_start_time": run.expected_start_time,
        "next_scheduled_start_time": run.next_scheduled_start_time,
        "start_time": run.start_time,
        "end_time": run.end_time,
        "total_run_time": run.total_run_time.as_secs_f64(),
        "estimated_run_time": estimated_run_time(run, now).as_secs_f64(),
        "estimated_start_time_delta": start_delay(run, now).as_secs_f64(),
        "auto_scheduled": is_auto_scheduled(run),
        "infrastructure_document_id": null,
        "infrastructure_pid": run.infrastructure_pid,
        "created_by": null,
        "state": null,
        "job_variables": run.job_variables,
    })
}

/// The scheduler of a server makes its runs with such keys, and marks them.
fn is_auto_scheduled(run: &Run) -> bool {
    run.idempotency_key.as_deref().is_some_and(|key| key.starts_with("scheduled "))
}

/// Time spent Running, the present one included.
fn estimated_run_time(run: &Run, now: Timestamp) -> SignedDuration {
    let since = run
        .state()
        .filter(|state| state.state_type == StateType::Running)
        .and_then(|state| state.timestamp)
        .map_or(SignedDuration::ZERO, |since| now.duration_since(since));
    run.total_run_time.saturating_add(since)
}

/// How late it started, or is by now.
fn start_delay(run: &Run, now: Timestamp) -> SignedDuration {
    let Some(expected) = run.expected_start_time else { return SignedDuration::ZERO };
    let ended = run.state_type().is_some_and(StateType::is_terminal);
    match run.start_time {
        Some(start) if start > expected => start.duration_since(expected),
        None if !ended && now > expected => now.duration_since(expected),
        Some(_) | None => SignedDuration::ZERO,
    }
}

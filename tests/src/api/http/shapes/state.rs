//! States, and the answers to proposals.

use central_api_wire::state::{State, StateDetails};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::api::rules::{Draft, Verdict};
use crate::api::store::Outcome;

/// Details that a state has whether they were proposed or not, and what they are if not.
const DETAILS: [(&str, Value); 18] = [
    ("flow_run_id", Value::Null),
    ("task_run_id", Value::Null),
    ("child_flow_run_id", Value::Null),
    ("scheduled_time", Value::Null),
    ("cache_key", Value::Null),
    ("cache_expiration", Value::Null),
    ("deferred", Value::Bool(false)),
    ("untrackable_result", Value::Bool(false)),
    ("pause_timeout", Value::Null),
    ("pause_reschedule", Value::Bool(false)),
    ("pause_key", Value::Null),
    ("run_input_keyset", Value::Null),
    ("refresh_cache", Value::Null),
    ("retriable", Value::Null),
    ("transition_id", Value::Null),
    ("task_parameters_id", Value::Null),
    ("traceparent", Value::Null),
    ("deployment_concurrency_lease_id", Value::Null),
];

/// A state.
pub(in crate::api) fn state_json(state: &State) -> Value {
    json!({
        "id": state.id,
        "type": state.state_type,
        "name": state.name(),
        "timestamp": state.timestamp,
        "message": state.message,
        "data": state.data,
        "state_details": details_json(&state.state_details),
    })
}

/// A state that is kept as JSON only, under a fresh id.
pub(in crate::api) fn draft_json(draft: &Draft, now: Timestamp) -> Value {
    json!({
        "id": Uuid::now_v7(),
        "type": draft.state_type,
        "name": draft.name,
        "timestamp": now,
        "message": draft.message,
        "data": draft.data,
        "state_details": details_json(&draft.details),
    })
}

fn details_json(details: &StateDetails) -> Map<String, Value> {
    let given = serde_json::to_value(details).unwrap_or_default();
    let mut all: Map<String, Value> = DETAILS
        .into_iter()
        .map(|(key, default)| (key.to_owned(), given.get(key).cloned().unwrap_or(default)))
        .collect();
    for (key, value) in given.as_object().into_iter().flatten() {
        all.entry(key.clone()).or_insert_with(|| value.clone());
    }
    all
}

/// The answer to a proposal.
pub(in crate::api) fn outcome_json(outcome: &Outcome) -> Value {
    let details = match &outcome.verdict {
        Verdict::Accept => json!({"type": "accept_details"}),
        Verdict::Reject { reason } => json!({"type": "reject_details", "reason": reason}),
        Verdict::Abort { reason } => json!({"type": "abort_details", "reason": reason}),
        Verdict::Wait { delay_seconds, reason } => {
            json!({"type": "wait_details", "delay_seconds": delay_seconds, "reason": reason})
        }
    };
    json!({
        "state": outcome.state.as_ref().map(state_json),
        "status": outcome.verdict.status(),
        "details": details,
    })
}

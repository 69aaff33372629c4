//! Flows, variables, log lines, events.

use serde_json::{Value, json};

use crate::api::model::{FlowRow, LogRow, VariableRow};
use crate::api::store::StoredEvent;

pub(in crate::api) fn flow_json(flow: &FlowRow) -> Value {
    json!({
        "id": flow.id,
        "created": flow.created,
        "updated": flow.created,
        "name": flow.name,
        "tags": flow.tags,
        "labels": flow.labels,
    })
}

pub(in crate::api) fn variable_json(variable: &VariableRow) -> Value {
    json!({
        "id": variable.id,
        "created": variable.created,
        "updated": variable.created,
        "name": variable.name,
        "value": variable.value,
        "tags": variable.tags,
    })
}

pub(in crate::api) fn log_json(line: &LogRow) -> Value {
    json!({
        "id": line.id,
        "created": line.created,
        "updated": line.created,
        "name": line.name,
        "level": line.level,
        "message": line.message,
        "timestamp": line.timestamp,
        "flow_run_id": line.flow_run_id,
        "task_run_id": line.task_run_id,
    })
}

pub(in crate::api) fn event_json(stored: &StoredEvent) -> Value {
    let mut shape = json!(stored.event);
    if let Some(fields) = shape.as_object_mut() {
        fields.insert("received".to_owned(), json!(stored.received));
    }
    shape
}

//! Log lines.

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;
use worker_core::ids::RunId;

use super::Api;
use super::filters::{Choice, Page};
use super::input::Input;
use super::refusal::Refusal;
use super::shapes::log_json;
use crate::api::model::{LogRow, now};

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/logs/", post(create)).route("/logs/filter", post(filter))
}

#[derive(Deserialize)]
struct LogCreate {
    name: String,
    level: u16,
    message: String,
    timestamp: Timestamp,
    flow_run_id: Option<RunId>,
    task_run_id: Option<Uuid>,
}

const FIELDS: [&str; 6] = ["name", "level", "message", "timestamp", "flow_run_id", "task_run_id"];

/// One line with a field that a self-hosted server does not know, such as `worker_id`, and the whole batch is refused.
async fn create(State(api): State<Api>, Input(body): Input<Value>) -> Result<(StatusCode, Json<Value>), Refusal> {
    let complaints = unknown_fields(&body);
    if !complaints.is_empty() {
        return Err(Refusal::complain(complaints, body));
    }
    let lines = Vec::<LogCreate>::deserialize(&body)
        .map_err(|error| Refusal::invalid("value_error", &[], &error.to_string(), body.clone()))?;
    let received = now();
    let rows = lines.into_iter().map(|line| LogRow {
        id: Uuid::new_v4(),
        created: received,
        name: line.name,
        level: line.level,
        message: line.message,
        timestamp: line.timestamp,
        flow_run_id: line.flow_run_id,
        task_run_id: line.task_run_id,
    });
    let rows = rows.collect();
    api.store.write(|tables| tables.add_logs(rows));
    Ok((StatusCode::CREATED, Json(Value::Null)))
}

fn unknown_fields(body: &Value) -> Vec<Value> {
    let lines = body.as_array().into_iter().flatten().enumerate();
    let fields = lines.flat_map(|(index, line)| {
        line.as_object().into_iter().flatten().map(move |(field, value)| (index, field, value))
    });
    fields
        .filter(|(_, field, _)| !FIELDS.contains(&field.as_str()))
        .map(|(index, field, value)| {
            json!({
                "type": "extra_forbidden",
                "loc": ["body", index, field],
                "msg": "Extra inputs are not permitted",
                "input": value,
            })
        })
        .collect()
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LogsFilter {
    logs: Option<OfRun>,
    #[serde(flatten)]
    page: Page,
}

#[derive(Deserialize)]
struct OfRun {
    flow_run_id: Option<Choice<RunId>>,
}

async fn filter(State(api): State<Api>, Input(query): Input<LogsFilter>) -> Json<Vec<Value>> {
    let runs = query.logs.as_ref().and_then(|filter| filter.flow_run_id.as_ref());
    let wanted = |line: &&LogRow| runs.is_none_or(|runs| line.flow_run_id.is_some_and(|id| runs.holds(&id)));
    Json(api.store.read(|tables| query.page.of(tables.logs().iter().filter(wanted).map(log_json))))
}

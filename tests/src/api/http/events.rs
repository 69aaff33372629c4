//! Events over HTTP.

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use central_api_wire::event::Event;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::input::Input;
use super::shapes::event_json;
use crate::api::model::now;
use crate::api::store::EventQuery;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/events", post(create)).route("/events/filter", post(filter))
}

async fn create(State(api): State<Api>, Input(events): Input<Vec<Event>>) -> StatusCode {
    let now = now();
    api.store.write(|tables| events.into_iter().for_each(|event| tables.add_event(event, now)));
    StatusCode::NO_CONTENT
}

/// Events on one page.
const PAGE: usize = 50;

#[derive(Default, Deserialize)]
#[serde(default)]
struct EventsFilter {
    filter: Option<EventQuery>,
    limit: Option<usize>,
}

/// The first page, newest first.
async fn filter(State(api): State<Api>, Input(body): Input<EventsFilter>) -> Json<Value> {
    let query = body.filter.unwrap_or_default();
    let mut found: Vec<_> = api.store.events().into_iter().filter(|stored| query.matches(&stored.event)).collect();
    found.sort_by_key(|stored| std::cmp::Reverse(stored.event.occurred));
    let page: Vec<Value> = found.iter().take(body.limit.unwrap_or(PAGE)).map(event_json).collect();
    Json(json!({"events": page, "total": found.len(), "next_page": null}))
}

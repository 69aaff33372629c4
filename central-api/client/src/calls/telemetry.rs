//! Logs, and events without a websocket. Both are tried once: their queues retry.

use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use uuid::Uuid;

use super::nothing;
use crate::{ApiError, CallKind, Client};

/// A page of events, of which only their number counts.
#[derive(Deserialize)]
struct EventPage {
    events: Vec<IgnoredAny>,
}

impl Client {
    /// Stores log lines: a JSON array. [`CallKind::Poll`]. `POST /logs/`.
    pub(crate) async fn create_logs(&self, lines: Bytes) -> Result<(), ApiError> {
        let call = self.call(CallKind::Poll, Method::POST, "ship logs", &["logs", ""]);
        self.exchange(call.raw_json(lines), nothing).await
    }

    /// Whether the API has an event. [`CallKind::Read`]. `POST /events/filter`.
    pub async fn has_event(&self, id: Uuid) -> Result<bool, ApiError> {
        let call = self.call(CallKind::Read, Method::POST, "look for an event", &["events", "filter"]);
        let query = json!({"filter": {"id": {"id": [id]}}, "limit": 1});
        let page: EventPage = self.exchange(call.json(&query)?, super::json).await?;
        Ok(!page.events.is_empty())
    }

    /// Stores events: a JSON array. [`CallKind::Poll`]. `POST /events`.
    pub(crate) async fn create_events(&self, events: Bytes) -> Result<(), ApiError> {
        let call = self.call(CallKind::Poll, Method::POST, "send events", &["events"]);
        self.exchange(call.raw_json(events), nothing).await
    }
}

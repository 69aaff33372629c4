//! Logs, and events without a websocket. Both are tried once: their queues retry.

use bytes::Bytes;
use http::Method;

use super::nothing;
use crate::{ApiError, CallKind, Client};

impl Client {
    /// Stores log lines: a JSON array. [`CallKind::Poll`]. `POST /logs/`.
    pub(crate) async fn create_logs(&self, lines: Bytes) -> Result<(), ApiError> {
        let call = self.call(CallKind::Poll, Method::POST, "ship logs", &["logs", ""]);
        self.exchange(call.raw_json(lines), nothing).await
    }

    /// Stores events: a JSON array. [`CallKind::Poll`]. `POST /events`.
    pub(crate) async fn create_events(&self, events: Bytes) -> Result<(), ApiError> {
        let call = self.call(CallKind::Poll, Method::POST, "send events", &["events"]);
        self.exchange(call.raw_json(events), nothing).await
    }
}

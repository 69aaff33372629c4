//! One open websocket with JSON frames.

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use serde_json::Value;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::registry::{Close, Registry};
use crate::api::http::Api;
use crate::api::store::{SocketRecord, Store};

/// An open websocket. Dropped, it ends without a closing frame: the client sees 1006.
pub(super) struct Conversation {
    pub(super) id: Uuid,
    socket: WebSocket,
    store: Store,
    registry: Registry,
    closing: oneshot::Receiver<Close>,
}

/// What came.
pub(super) enum Incoming {
    /// A frame.
    Frame(Value),
    /// A frame that is no JSON.
    Malformed,
    /// The client is gone.
    Gone,
    /// The websocket is to be closed from this side.
    Dismissed(Close),
}

impl Conversation {
    pub(super) fn new(socket: WebSocket, api: &Api, record: SocketRecord) -> Self {
        let closing = api.registry.enter(record.id, &record.path);
        let id = record.id;
        api.store.write(|tables| tables.add_socket(record));
        Self { id, socket, store: api.store.clone(), registry: api.registry.clone(), closing }
    }

    /// The next frame. Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Incoming {
        loop {
            let message = tokio::select! {
                biased;
                Ok(close) = &mut self.closing => return Incoming::Dismissed(close),
                message = self.socket.recv() => message,
            };
            let text = match message {
                Some(Ok(Message::Text(text))) => text.as_bytes().to_vec(),
                Some(Ok(Message::Binary(bytes))) => bytes.to_vec(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Incoming::Gone,
            };
            return serde_json::from_slice(&text).map_or(Incoming::Malformed, Incoming::Frame);
        }
    }

    /// Sends a frame; tells whether the client is still there.
    pub(super) async fn send(&mut self, frame: &Value) -> bool {
        self.socket.send(Message::text(frame.to_string())).await.is_ok()
    }

    /// Ends it with a code and a reason.
    pub(super) async fn close(mut self, close: Close) {
        let frame = CloseFrame { code: close.code, reason: close.reason.into() };
        if self.socket.send(Message::Close(Some(frame))).await.is_err() {
            tracing::debug!(socket = %self.id, "the client was gone before the closing frame");
        }
    }

    /// Marks the handshake as done.
    pub(super) fn establish(&self) {
        self.store.write(|tables| tables.change_socket(self.id, |socket| socket.established = true));
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.registry.leave(self.id);
        self.store.write(|tables| tables.change_socket(self.id, |socket| socket.open = false));
    }
}

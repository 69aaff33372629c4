//! What callers did: requests, websockets, connections. Kept for assertions.

use std::fmt;

use http::HeaderMap;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::Tables;

/// A request. Its headers hold credentials, so `Debug` leaves them out.
#[derive(Clone)]
pub struct RequestRecord {
    /// When it arrived.
    pub at: Timestamp,
    /// Its method.
    pub method: String,
    /// Its path, without `/api`.
    pub path: String,
    /// Its query string; empty without one.
    pub query: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; null without one.
    pub body: Value,
    /// The status it was answered with, once it was.
    pub status: Option<u16>,
}

impl RequestRecord {
    /// A header as text; empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl fmt::Debug for RequestRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {:?}", self.method, self.path, self.status)
    }
}

/// A websocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketRecord {
    /// Its id.
    pub id: Uuid,
    /// Its path, without `/api`.
    pub path: String,
    /// The `User-Agent` of its upgrade request.
    pub user_agent: String,
    /// Whether the sub-protocol `prefect` was offered.
    pub offered_subprotocol: bool,
    /// Whether the handshake after the upgrade is through: authenticated and, where one is needed, with a filter or a
    /// greeting.
    pub established: bool,
    /// Whether it is open.
    pub open: bool,
}

/// TCP connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// How many were accepted.
    pub accepted: u64,
    /// How many are open.
    pub open: u64,
}

impl Tables {
    /// Books a request and returns its number, for [`Tables::answer_request`].
    pub(crate) fn add_request(&mut self, request: RequestRecord) -> usize {
        self.requests.push(request);
        self.requests.len() - 1
    }

    pub(crate) fn answer_request(&mut self, number: usize, status: u16) {
        if let Some(request) = self.requests.get_mut(number) {
            request.status = Some(status);
        }
    }

    pub(crate) fn add_socket(&mut self, socket: SocketRecord) {
        self.sockets.push(socket);
    }

    pub(crate) fn change_socket(&mut self, id: Uuid, change: impl FnOnce(&mut SocketRecord)) {
        if let Some(socket) = self.sockets.iter_mut().find(|socket| socket.id == id) {
            change(socket);
        }
    }

    pub(crate) fn connection_opened(&mut self) {
        self.connections.accepted += 1;
        self.connections.open += 1;
    }

    pub(crate) fn connection_closed(&mut self) {
        self.connections.open = self.connections.open.saturating_sub(1);
    }
}

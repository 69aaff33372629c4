//! The websockets: events in, events out, the worker channel.

mod channel;
mod conversation;
mod events_in;
mod events_out;
mod handshake;
mod registry;

pub(super) use channel::worker_channel;
pub(super) use events_in::events_in;
pub(super) use events_out::events_out;
pub(super) use registry::{Close, Registry};

use axum::extract::ws::WebSocketUpgrade;
use axum::response::Response;
use http::{HeaderMap, header};
use uuid::Uuid;

use super::http::Api;
use super::store::SocketRecord;
use conversation::Conversation;

/// The sub-protocol that asks for the handshake after the upgrade.
const SUBPROTOCOL: &str = "prefect";

/// Whether the client offers the sub-protocol.
fn offers_subprotocol(headers: &HeaderMap) -> bool {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    offered
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|name| name.trim() == SUBPROTOCOL)
}

/// Finishes the upgrade and hands the open websocket to `talk`, in a task that [`Api::sockets`] knows.
fn open<T: Future<Output = ()> + Send + 'static>(
    api: Api,
    headers: &HeaderMap,
    path: &str,
    upgrade: WebSocketUpgrade,
    talk: impl FnOnce(Api, Conversation) -> T + Send + 'static,
) -> Response {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    let record = SocketRecord {
        id: Uuid::new_v4(),
        path: path.to_owned(),
        user_agent: agent.unwrap_or_default().to_owned(),
        offered_subprotocol: offers_subprotocol(headers),
        established: false,
        open: true,
    };
    let tracker = api.sockets.clone();
    upgrade.on_upgrade(move |socket| {
        tracker.track_future(async move {
            let conversation = Conversation::new(socket, &api, record);
            talk(api, conversation).await;
        })
    })
}

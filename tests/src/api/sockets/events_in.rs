//! `/events/in`: each frame is an event; nothing is answered.

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::{IntoResponse as _, Response};
use central_api_wire::event::Event;
use http::{HeaderMap, StatusCode};

use super::conversation::{Conversation, Incoming};
use super::handshake::authenticate;
use super::{SUBPROTOCOL, offers_subprotocol, open};
use crate::api::http::Api;
use crate::api::model::now;

/// With the sub-protocol the client authenticates first. Without it events come at once, which only a server without an
/// auth string takes. Servers before 3.6.14 know no sub-protocol here and take the first frame for an event.
pub(in crate::api) async fn events_in(
    State(api): State<Api>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let options = api.store.options();
    let handshake = offers_subprotocol(&headers) && options.version.has_events_in_handshake();
    if !handshake && options.version.has_events_in_handshake() && options.auth_string.is_some() {
        return StatusCode::FORBIDDEN.into_response();
    }
    let upgrade = if handshake { upgrade.protocols([SUBPROTOCOL]) } else { upgrade };
    open(api, &headers, "/events/in", upgrade, move |api, conversation| async move {
        if !handshake {
            receive(&api, conversation).await;
        } else if let Some(conversation) = authenticate(conversation, &api, None).await {
            receive(&api, conversation).await;
        }
    })
}

/// A frame that is no event ends the websocket as abruptly as it does on the real server.
async fn receive(api: &Api, mut conversation: Conversation) {
    conversation.establish();
    loop {
        match conversation.next().await {
            Incoming::Frame(frame) => {
                let Ok(event) = serde_json::from_value::<Event>(frame) else { return };
                api.store.write(|tables| tables.add_event(event, now()));
            }
            Incoming::Dismissed(close) => return conversation.close(close).await,
            Incoming::Malformed | Incoming::Gone => return,
        }
    }
}

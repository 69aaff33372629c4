//! `/events/out`: the events that pass a filter, those of the last minutes first.

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::conversation::{Conversation, Incoming};
use super::handshake::authenticate;
use super::registry::Close;
use super::{SUBPROTOCOL, offers_subprotocol, open};
use crate::api::http::{Api, event_json};
use crate::api::model::now;
use crate::api::store::{EventQuery, StoredEvent};

/// How far back a new subscriber gets to see.
const BACKFILL: SignedDuration = SignedDuration::from_mins(15);
/// The client broke the protocol.
const PROTOCOL_ERROR: u16 = 1002;

pub(in crate::api) async fn events_out(
    State(api): State<Api>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let subprotocol = offers_subprotocol(&headers);
    if !subprotocol && api.store.options().auth_string.is_some() {
        return StatusCode::FORBIDDEN.into_response();
    }
    let upgrade = upgrade.protocols([SUBPROTOCOL]);
    open(api, &headers, "/events/out", upgrade, move |api, conversation| async move {
        let conversation = if subprotocol { authenticate(conversation, &api, None).await } else { Some(conversation) };
        if let Some(conversation) = conversation {
            subscribe(&api, conversation).await;
        }
    })
}

async fn subscribe(api: &Api, mut conversation: Conversation) {
    let reason = match conversation.next().await {
        Incoming::Frame(frame) => match subscription(&frame) {
            Ok(subscription) => return stream(api, conversation, subscription).await,
            Err(reason) => reason,
        },
        Incoming::Malformed => "Expected 'filter' message".to_owned(),
        Incoming::Dismissed(close) => return conversation.close(close).await,
        Incoming::Gone => return,
    };
    conversation.close(Close { code: PROTOCOL_ERROR, reason }).await;
}

struct Subscription {
    query: EventQuery,
    backfill: bool,
}

fn subscription(frame: &Value) -> Result<Subscription, String> {
    if frame.get("type").and_then(Value::as_str) != Some("filter") {
        return Err("Expected 'filter' message".to_owned());
    }
    let filter = frame.get("filter").cloned().unwrap_or_default();
    let mut query: EventQuery = serde_json::from_value(filter).map_err(|error| format!("Invalid filter: {error}"))?;
    query.not_before(now() - BACKFILL);
    Ok(Subscription { query, backfill: frame.get("backfill").and_then(Value::as_bool).unwrap_or(true) })
}

/// Keeps a position in the log of events: a slow client falls behind but misses nothing.
async fn stream(api: &Api, mut conversation: Conversation, subscription: Subscription) {
    conversation.establish();
    let mut changes = api.store.changes();
    let mut position = if subscription.backfill { 0 } else { api.store.read(|tables| tables.events().len()) };
    let mut is_backfill = true;
    loop {
        let mut batch = take_new(api, &subscription.query, &mut changes, &mut position);
        if is_backfill {
            batch.sort_by_key(|stored| stored.event.occurred);
            is_backfill = false;
        }
        for stored in &batch {
            if !conversation.send(&json!({"type": "event", "event": event_json(stored)})).await {
                return;
            }
        }
        tokio::select! {
            incoming = conversation.next() => match incoming {
                Incoming::Frame(_) | Incoming::Malformed => {}
                Incoming::Dismissed(close) => return conversation.close(close).await,
                Incoming::Gone => return,
            },
            _ = changes.changed() => {}
        }
    }
}

fn take_new(
    api: &Api,
    query: &EventQuery,
    changes: &mut watch::Receiver<u64>,
    position: &mut usize,
) -> Vec<StoredEvent> {
    changes.mark_unchanged();
    api.store.read(|tables| {
        let new = tables.events().get(*position..).unwrap_or_default();
        *position = tables.events().len();
        new.iter().filter(|stored| query.matches(&stored.event)).cloned().collect()
    })
}

//! The first frames of a websocket with the sub-protocol: who is there.

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::conversation::{Conversation, Incoming};
use super::registry::Close;
use crate::api::http::Api;

/// Against the rules of the server.
const POLICY_VIOLATION: u16 = 1008;

/// Authenticates the client. `instead` replaces the reason of a refusal, for clients that are told no more.
///
/// Without an auth string every token will do, but the frame has to come: Cloud expects it as well.
pub(super) async fn authenticate(
    mut conversation: Conversation,
    api: &Api,
    instead: Option<&str>,
) -> Option<Conversation> {
    let refused = match conversation.next().await {
        Incoming::Frame(frame) => refusal(&frame, api),
        Incoming::Malformed | Incoming::Gone => return None,
        Incoming::Dismissed(close) => {
            conversation.close(close).await;
            return None;
        }
    };
    if let Some(reason) = refused {
        let reason = instead.unwrap_or(reason).to_owned();
        conversation.close(Close { code: POLICY_VIOLATION, reason }).await;
        return None;
    }
    conversation.send(&json!({"type": "auth_success"})).await.then_some(conversation)
}

fn refusal(frame: &Value, api: &Api) -> Option<&'static str> {
    if frame.get("type").and_then(Value::as_str) != Some("auth") {
        return Some("Expected 'auth' message");
    }
    let expected = api.store.options().auth_string.as_ref()?.expose_secret();
    match frame.get("token").and_then(Value::as_str) {
        None | Some("") => Some("Auth required but no token provided"),
        Some(token) if token != expected => Some("Invalid token"),
        Some(_) => None,
    }
}

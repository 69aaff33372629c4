//! The worker's frames, read as strictly as the real server reads them: a field it does not know breaks the protocol.

use central_api_wire::channel::{
    CAPABILITY_CLEANUP, CAPABILITY_HEARTBEAT, CAPABILITY_SNAPSHOT, ChannelHeartbeat, Hello,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::api::model::now;

/// Why the channel is closed on a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    AuthenticationFailed,
    AuthorizationFailed,
    UnsupportedVersion,
    ProtocolError,
}

impl Refused {
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::AuthenticationFailed => "authentication_failed",
            Self::AuthorizationFailed => "authorization_failed",
            Self::UnsupportedVersion => "unsupported_version",
            Self::ProtocolError => "protocol_error",
        }
    }

    pub(super) const fn code(self) -> u16 {
        match self {
            Self::AuthenticationFailed | Self::AuthorizationFailed | Self::UnsupportedVersion => 1008,
            Self::ProtocolError => 1002,
        }
    }
}

/// What a worker says after its greeting.
#[derive(Debug)]
pub(super) enum WorkerFrame {
    Heartbeat(ChannelHeartbeat),
    Cleanup(CleanupFrame),
}

/// What a worker says about a clean-up.
#[derive(Debug)]
pub(super) struct CleanupFrame {
    pub(super) id: Uuid,
    pub(super) operation: &'static str,
    pub(super) message_id: Uuid,
    pub(super) token: String,
    pub(super) reason: Option<String>,
}

const HELLO_FIELDS: [&str; 12] = [
    "consumer_id",
    "worker_name",
    "worker_type",
    "heartbeat_interval_seconds",
    "supported_channel_versions",
    "requested_capabilities",
    "work_queue_names",
    "handled_cleanup_kinds",
    "max_cleanup_concurrency",
    "create_pool_if_not_found",
    "default_base_job_template",
    "worker_metadata",
];
const HEARTBEAT_FIELDS: [&str; 3] = ["consumer_id", "worker_name", "heartbeat_interval_seconds"];
const CLEANUP_FIELDS: [&str; 2] = ["message_id", "reservation_token"];
const RELEASE_FIELDS: [&str; 3] = ["message_id", "reservation_token", "reason"];

/// Reads a greeting.
pub(super) fn hello(frame: &Value) -> Result<Hello, Refused> {
    let (kind, _, mut payload) = split(frame)?;
    if kind != "worker.hello.v1" {
        return Err(Refused::ProtocolError);
    }
    // A server creates no pool unless it is told to, whatever the type on this side defaults to.
    payload.entry("create_pool_if_not_found").or_insert(Value::Bool(false));
    let names_concurrency = payload.contains_key("max_cleanup_concurrency");
    let mut hello: Hello = strict(payload, &HELLO_FIELDS)?;
    let asks = |capability: &str| hello.requested_capabilities.iter().any(|asked| asked == capability);
    let cleanup = asks(CAPABILITY_CLEANUP);
    let required = asks(CAPABILITY_HEARTBEAT) && asks(CAPABILITY_SNAPSHOT);
    let stray_cleanup = !cleanup && (!hello.handled_cleanup_kinds.is_empty() || hello.max_cleanup_concurrency > 0);
    let empty = hello.worker_name.is_empty() || hello.worker_type.is_empty();
    if !required || stray_cleanup || empty || hello.heartbeat_interval_seconds == 0 {
        return Err(Refused::ProtocolError);
    }
    if cleanup && !names_concurrency && !hello.handled_cleanup_kinds.is_empty() {
        hello.max_cleanup_concurrency = 1;
    }
    Ok(hello)
}

/// Reads any later frame.
pub(super) fn worker_frame(frame: &Value) -> Result<WorkerFrame, Refused> {
    let (kind, id, payload) = split(frame)?;
    let cleanup = |operation, fields: &[&str]| cleanup_frame(id, operation, payload.clone(), fields);
    match kind {
        "worker.heartbeat.v1" => strict(payload, &HEARTBEAT_FIELDS).map(WorkerFrame::Heartbeat),
        "cleanup.ack.v1" => cleanup("ack", &CLEANUP_FIELDS),
        "cleanup.renew.v1" => cleanup("renew", &CLEANUP_FIELDS),
        "cleanup.release.v1" => cleanup("release", &RELEASE_FIELDS),
        _unknown => Err(Refused::ProtocolError),
    }
}

fn cleanup_frame(
    id: Uuid,
    operation: &'static str,
    payload: Map<String, Value>,
    fields: &[&str],
) -> Result<WorkerFrame, Refused> {
    #[derive(Deserialize)]
    struct Payload {
        message_id: Uuid,
        reservation_token: String,
        reason: Option<String>,
    }
    let releases = fields.contains(&"reason");
    let payload: Payload = strict(payload, fields)?;
    if payload.reason.is_some() != releases || payload.reservation_token.is_empty() {
        return Err(Refused::ProtocolError);
    }
    let (message_id, token) = (payload.message_id, payload.reservation_token);
    Ok(WorkerFrame::Cleanup(CleanupFrame { id, operation, message_id, token, reason: payload.reason }))
}

fn split(frame: &Value) -> Result<(&str, Uuid, Map<String, Value>), Refused> {
    let parts = || {
        let fields = frame.as_object()?;
        let known = fields.keys().all(|key| ["type", "id", "sent_at", "payload"].contains(&key.as_str()));
        let sent: jiff::Timestamp = fields.get("sent_at")?.as_str()?.parse().ok()?;
        let id = fields.get("id")?.as_str()?.parse().ok()?;
        let payload = fields.get("payload")?.as_object()?.clone();
        (known && sent > jiff::Timestamp::UNIX_EPOCH).then_some((fields.get("type")?.as_str()?, id, payload))
    };
    parts().ok_or(Refused::ProtocolError)
}

fn strict<T: DeserializeOwned>(payload: Map<String, Value>, fields: &[&str]) -> Result<T, Refused> {
    if payload.keys().any(|key| !fields.contains(&key.as_str())) {
        return Err(Refused::ProtocolError);
    }
    serde_json::from_value(Value::Object(payload)).map_err(|_| Refused::ProtocolError)
}

/// A frame of the server.
pub(super) fn server_frame(kind: &str, payload: &Value) -> Value {
    json!({"type": kind, "id": Uuid::now_v7(), "sent_at": now(), "payload": payload})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: &str, payload: &Value) -> Value {
        server_frame(kind, payload)
    }

    fn greeting() -> Value {
        json!({
            "consumer_id": Uuid::now_v7(),
            "worker_name": "w1",
            "worker_type": "process",
            "heartbeat_interval_seconds": 10,
            "supported_channel_versions": ["work_pool_worker_channel.v1"],
            "requested_capabilities": ["worker_heartbeat.v1", "work_pool_snapshot.v1"],
        })
    }

    #[test]
    fn the_six_required_fields_are_a_greeting_and_create_no_pool() {
        let hello = hello(&frame("worker.hello.v1", &greeting())).unwrap();
        assert!(!hello.create_pool_if_not_found);
        assert_eq!(hello.max_cleanup_concurrency, 0);
    }

    #[test]
    fn a_field_that_the_server_does_not_know_breaks_the_protocol() {
        let mut extra = greeting();
        extra["nickname"] = json!("w");
        assert_eq!(hello(&frame("worker.hello.v1", &extra)).unwrap_err(), Refused::ProtocolError);

        let mut outer = frame("worker.hello.v1", &greeting());
        outer["trace"] = json!(1);
        assert_eq!(hello(&outer).unwrap_err(), Refused::ProtocolError);
    }

    #[test]
    fn clean_ups_need_their_capability() {
        let mut stray = greeting();
        stray["handled_cleanup_kinds"] = json!(["cancelling_timeout_teardown.v1"]);
        assert_eq!(hello(&frame("worker.hello.v1", &stray)).unwrap_err(), Refused::ProtocolError);
        stray["requested_capabilities"] =
            json!(["worker_heartbeat.v1", "work_pool_snapshot.v1", "cleanup_delivery.v1"]);
        assert_eq!(hello(&frame("worker.hello.v1", &stray)).unwrap().max_cleanup_concurrency, 1);
    }

    #[test]
    fn a_release_needs_a_reason_and_an_acknowledgement_has_none() {
        let payload = json!({"message_id": Uuid::new_v4(), "reservation_token": "t"});
        assert!(worker_frame(&frame("cleanup.ack.v1", &payload)).is_ok());
        assert!(worker_frame(&frame("cleanup.release.v1", &payload)).is_err());
        let mut reasoned = payload;
        reasoned["reason"] = json!("handler_failed");
        assert!(worker_frame(&frame("cleanup.release.v1", &reasoned)).is_ok());
        assert!(worker_frame(&frame("cleanup.ack.v1", &reasoned)).is_err());
    }
}

//! What is said about clean-ups on the channel.

use central_api_wire::channel::CLEANUP_CANCELLING_TIMEOUT;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;
use worker_core::ids::RunId;

/// The clean-ups that we do.
pub(in crate::pool) const KINDS: [&str; 1] = [CLEANUP_CANCELLING_TIMEOUT];
/// How many at a time.
pub(in crate::pool) const CAPACITY: u32 = 1;

/// What a message of the cancelling-timeout kind is about.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Target {
    pub(super) flow_run_id: RunId,
    #[serde(default)]
    pub(super) infrastructure_pid: Option<String>,
}

impl Target {
    pub(super) fn read(target: &Map<String, Value>) -> Option<Self> {
        serde_json::from_value(Value::Object(target.clone())).ok()
    }
}

/// The payload of what we say. The server refuses a field that it does not know, and a release without a reason.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Saying<'m> {
    pub(super) message_id: Uuid,
    pub(super) reservation_token: &'m str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'static str>,
}

/// `cleanup.operation_result.v1`: what the server made of it.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::pool) struct OperationResult {
    /// The id of our frame.
    pub(super) request_frame_id: Uuid,
    pub(super) status: String,
    #[serde(default)]
    pub(super) lease_expires_at: Option<Timestamp>,
}

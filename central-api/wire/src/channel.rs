//! The worker channel: the websocket of servers from 3.7.2 on that carries heartbeats, pool snapshots and clean-up
//! messages.
//!
//! The server refuses unknown fields in a worker's frames, so requests hold exactly the fields it knows. Received frames
//! ignore what they do not know.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;
use worker_core::ids::{WorkQueueId, WorkerId};

use crate::work_pool::{WorkPool, WorkerMetadata};

/// The only version of the channel so far.
pub const CHANNEL_VERSION: &str = "work_pool_worker_channel.v1";
/// Heartbeats travel on the channel. Required.
pub const CAPABILITY_HEARTBEAT: &str = "worker_heartbeat.v1";
/// Pool changes travel on the channel. Required.
pub const CAPABILITY_SNAPSHOT: &str = "work_pool_snapshot.v1";
/// Clean-up messages travel on the channel.
pub const CAPABILITY_CLEANUP: &str = "cleanup_delivery.v1";
/// The clean-up of a run whose cancellation nobody finished.
pub const CLEANUP_CANCELLING_TIMEOUT: &str = "cancelling_timeout_teardown.v1";

/// Any frame: what it is, and its payload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// What it is, such as `worker.heartbeat.v1`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its id, a version 7 uuid.
    pub id: Uuid,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// Its payload.
    pub payload: Value,
}

/// `worker.hello.v1`, from the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// A version 7 uuid, fixed for the process.
    pub consumer_id: Uuid,
    /// The worker's name.
    pub worker_name: String,
    /// The worker's type.
    pub worker_type: String,
    /// Wanted seconds between heartbeats.
    pub heartbeat_interval_seconds: u64,
    /// Versions of the channel that the worker speaks.
    pub supported_channel_versions: Vec<String>,
    /// Capabilities that the worker asks for.
    pub requested_capabilities: Vec<String>,
    /// Its queues; empty means all.
    #[serde(default)]
    pub work_queue_names: Vec<String>,
    /// Clean-ups it can do; empty without the clean-up capability.
    #[serde(default)]
    pub handled_cleanup_kinds: Vec<String>,
    /// How many clean-ups at a time; 0 without the clean-up capability.
    #[serde(default)]
    pub max_cleanup_concurrency: u32,
    /// Whether the server may create a missing pool.
    #[serde(default = "yes")]
    pub create_pool_if_not_found: bool,
    /// The template for a pool that has none.
    #[serde(default)]
    pub default_base_job_template: Option<Map<String, Value>>,
    /// What the worker tells of itself, until accepted once.
    #[serde(default)]
    pub worker_metadata: Option<WorkerMetadata>,
}

const fn yes() -> bool {
    true
}

/// `worker.ready.v1`, from the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    /// The worker's own consumer id.
    pub consumer_id: Uuid,
    /// The worker's id at Cloud; null elsewhere.
    #[serde(default)]
    pub worker_id: Option<WorkerId>,
    /// The version that will be spoken.
    pub selected_channel_version: String,
    /// Seconds between heartbeats on this connection.
    pub effective_heartbeat_interval_seconds: u64,
    /// Capabilities that were granted.
    #[serde(default)]
    pub accepted_capabilities: Vec<String>,
    /// Capabilities that were not.
    #[serde(default)]
    pub rejected_capabilities: Vec<String>,
    /// How many clean-ups the server will hand over at a time.
    #[serde(default)]
    pub effective_max_cleanup_concurrency: u32,
    /// The queues that the worker serves.
    #[serde(default)]
    pub resolved_work_queues: Vec<ResolvedQueue>,
    /// The pool as it is now.
    pub initial_snapshot: Snapshot,
}

/// A queue that the worker serves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResolvedQueue {
    /// Its id.
    pub id: WorkQueueId,
    /// Its name.
    pub name: String,
}

/// `work_pool.snapshot.v1`, from the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Grows on one connection; starts again on the next.
    pub snapshot_sequence: u64,
    /// `initial`, `work_pool_updated`.
    #[serde(default)]
    pub reason: Option<String>,
    /// The pool.
    pub work_pool: WorkPool,
}

/// `worker.heartbeat.v1`, from the worker. Not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelHeartbeat {
    /// The worker's own consumer id.
    pub consumer_id: Uuid,
    /// The worker's name.
    pub worker_name: String,
    /// Seconds until the next one.
    pub heartbeat_interval_seconds: u64,
}

/// `cleanup.message.v1`, from the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CleanupMessage {
    /// Its id.
    pub message_id: Uuid,
    /// Proof that it is ours to handle.
    pub reservation_token: String,
    /// When the reservation ends.
    pub lease_expires_at: Timestamp,
    /// How often it was delivered.
    #[serde(default)]
    pub delivery_count: u32,
    /// What is to be done.
    pub kind: String,
    /// To what.
    #[serde(default)]
    pub target: Map<String, Value>,
    /// Anything else.
    #[serde(default)]
    pub data: Option<Value>,
}

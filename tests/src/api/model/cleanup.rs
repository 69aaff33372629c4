//! Clean-up messages: work that the server hands to a worker over the worker channel.

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;
use worker_core::ids::{WorkPoolId, WorkQueueId};

/// A clean-up to be handed to some worker of a pool.
#[derive(Clone, Debug, PartialEq)]
pub struct CleanupRequest {
    /// What is to be done, such as `cancelling_timeout_teardown.v1`.
    pub kind: String,
    /// To what.
    pub target: Map<String, Value>,
    /// Anything else.
    pub data: Map<String, Value>,
    /// The queue it concerns.
    pub work_queue_id: Option<WorkQueueId>,
}

/// A clean-up message and all that happened to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Cleanup {
    /// Its id.
    pub message_id: Uuid,
    /// The pool whose workers may take it.
    pub work_pool_id: WorkPoolId,
    /// What is to be done.
    pub request: CleanupRequest,
    /// How often it was handed out.
    pub delivery_count: u32,
    /// How far it is.
    pub progress: CleanupProgress,
    /// What workers said about it, oldest first.
    pub operations: Vec<CleanupOperation>,
}

/// How far a clean-up is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CleanupProgress {
    /// Waits for a worker.
    Queued,
    /// A worker has it.
    Reserved(Reservation),
    /// A worker acknowledged it.
    Acknowledged,
    /// Handed out too often.
    DeadLettered,
}

/// A worker's hold on a clean-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Proof of the hold.
    pub token: String,
    /// When the message may go to somebody else.
    pub expires: Timestamp,
    /// The connection that has it.
    pub connection: Uuid,
}

/// What a worker said about a clean-up, and what it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CleanupOperation {
    /// `ack`, `release` or `renew`.
    pub operation: String,
    /// The worker's reason, of a release.
    pub reason: Option<String>,
    /// The answer, such as `accepted`.
    pub status: &'static str,
    /// When.
    pub at: Timestamp,
}

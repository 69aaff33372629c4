//! Work pools, their queues and their workers.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use uuid::Uuid;
use worker_core::ids::{WorkPoolId, WorkQueueId};

/// A work pool as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Its id.
    pub id: WorkPoolId,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// Its name, unique.
    pub name: String,
    /// Its description.
    pub description: Option<String>,
    /// Its type: the kind of infrastructure.
    pub pool_type: String,
    /// Its base job template; empty until somebody fills it.
    pub base_job_template: Map<String, Value>,
    /// Whether it is paused.
    pub is_paused: bool,
    /// At most this many of its runs are Pending or Running.
    pub concurrency_limit: Option<u32>,
    /// Whether a worker has been heard of.
    pub is_ready: bool,
    /// The queue of runs that name none.
    pub default_queue_id: WorkQueueId,
    /// Where bundles and results go.
    pub storage_configuration: Map<String, Value>,
    /// Grows with each change that a worker channel has to tell.
    pub revision: u64,
}

impl Pool {
    /// `PAUSED`, `READY` or `NOT_READY`.
    pub const fn status(&self) -> &'static str {
        match (self.is_paused, self.is_ready) {
            (true, _) => "PAUSED",
            (false, true) => "READY",
            (false, false) => "NOT_READY",
        }
    }
}

/// A queue of a work pool as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Its id.
    pub id: WorkQueueId,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// Its pool.
    pub work_pool_id: WorkPoolId,
    /// Its name, unique in the pool.
    pub name: String,
    /// Whether it is paused.
    pub is_paused: bool,
    /// At most this many of its runs are Pending or Running.
    pub concurrency_limit: Option<u32>,
    /// 1 is the highest; unique in the pool.
    pub priority: u32,
    /// When a worker last asked for its runs.
    pub last_polled: Option<Timestamp>,
}

impl Queue {
    /// `PAUSED`, `READY` or `NOT_READY`.
    pub const fn status(&self) -> &'static str {
        match (self.is_paused, self.last_polled) {
            (true, _) => "PAUSED",
            (false, Some(_)) => "READY",
            (false, None) => "NOT_READY",
        }
    }
}

/// A worker, known by its heartbeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerRow {
    /// Its id.
    pub id: Uuid,
    /// When it was first heard of.
    pub created: Timestamp,
    /// Its pool.
    pub work_pool_id: WorkPoolId,
    /// Its name, unique in the pool.
    pub name: String,
    /// Seconds between its heartbeats.
    pub heartbeat_interval_seconds: Option<u64>,
    /// Its last heartbeat.
    pub last_heartbeat: Timestamp,
    /// Heartbeats that came as REST calls.
    pub rest_heartbeats: u64,
    /// Heartbeats that came on the worker channel, the one of the greeting included.
    pub channel_heartbeats: u64,
}

/// Taken for a worker that names no interval.
const DEFAULT_HEARTBEAT_SECONDS: u64 = 30;
/// A worker is offline after this many intervals without a heartbeat.
const MISSED_HEARTBEATS: i64 = 3;

impl WorkerRow {
    /// Whether its last heartbeat is recent enough.
    pub fn is_online(&self, now: Timestamp) -> bool {
        let interval = self.heartbeat_interval_seconds.unwrap_or(DEFAULT_HEARTBEAT_SECONDS);
        let seconds = i64::try_from(interval).unwrap_or(i64::MAX).saturating_mul(MISSED_HEARTBEATS);
        now.duration_since(self.last_heartbeat) < SignedDuration::from_secs(seconds)
    }
}

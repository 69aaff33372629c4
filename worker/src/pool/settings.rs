//! The settings of one pool worker.

use std::time::Duration;

use serde_json::{Map, Value};
use worker_core::handle::PluginKind;

use super::late::LatePolicy;

/// What one pool worker does, decided before it starts.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// The pool.
    pub pool: String,
    /// The worker's name in it.
    pub worker_name: String,
    /// The kind of infrastructure.
    pub kind: PluginKind,
    /// The queues; none means all.
    pub work_queues: Vec<String>,
    /// What becomes of runs that are late.
    pub late: LatePolicy,
    /// How long before it is due a run is taken.
    pub prefetch: Duration,
    /// Whether runs are asked for when the event stream tells of them, and not only at an interval.
    pub pick_up_events: bool,
    /// The template for a pool that has none.
    pub base_job_template: Map<String, Value>,
    /// Whether the user gave that template: only then it is sent when the pool is made.
    pub base_job_template_given: bool,
    /// Whether a missing pool is made.
    pub create_pool_if_not_found: bool,
    /// Mean time between polls.
    pub query_interval: Duration,
    /// Mean time between syncs, and the promise made in heartbeats.
    pub heartbeat_interval: Duration,
}

impl PoolSettings {
    /// The promise made in heartbeats, in whole seconds as the wire wants it.
    pub const fn heartbeat_seconds(&self) -> u64 {
        self.heartbeat_interval.as_secs()
    }
}

//! Work pools, their queues, and the heartbeat.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use worker_core::ids::{WorkPoolId, WorkQueueId};

/// A work pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkPool {
    /// Its id.
    pub id: WorkPoolId,
    /// Its name.
    pub name: String,
    /// Its type: the kind of infrastructure.
    #[serde(rename = "type")]
    pub pool_type: String,
    /// Its base job template; `{}` until somebody fills it.
    #[serde(default)]
    pub base_job_template: Map<String, Value>,
    /// Whether it is paused.
    #[serde(default)]
    pub is_paused: bool,
    /// At most this many of its runs are Pending or Running; the server sees to it.
    #[serde(default)]
    pub concurrency_limit: Option<u32>,
    /// `READY`, `NOT_READY`, `PAUSED`; null on old servers.
    #[serde(default)]
    pub status: Option<String>,
    /// Its default queue.
    #[serde(default)]
    pub default_queue_id: Option<WorkQueueId>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// `POST /work_pools/`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkPoolCreate {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub pool_type: String,
    /// Its template, if not the server's choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_job_template: Option<Map<String, Value>>,
}

/// `PATCH /work_pools/{pool}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkPoolUpdate {
    /// The new template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_job_template: Option<Map<String, Value>>,
}

/// A queue of a work pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkQueue {
    /// Its id.
    pub id: WorkQueueId,
    /// Its name.
    pub name: String,
    /// Whether it is paused.
    #[serde(default)]
    pub is_paused: bool,
    /// At most this many of its runs are Pending or Running.
    #[serde(default)]
    pub concurrency_limit: Option<u32>,
    /// 1 is the highest.
    #[serde(default)]
    pub priority: Option<u32>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// `POST /work_pools/filter`: all pools, page by page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkPoolsFilterRequest {
    /// At most this many.
    pub limit: u32,
    /// How many to skip.
    pub offset: u32,
}

/// `POST /work_pools/{pool}/queues/filter`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkQueuesFilterRequest {
    /// The queues; none means all.
    #[serde(default)]
    pub work_queues: Option<WorkQueueFilter>,
    /// At most this many.
    #[serde(default)]
    pub limit: Option<u32>,
    /// How many to skip.
    #[serde(default)]
    pub offset: Option<u32>,
}

/// A filter on work queues.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkQueueFilter {
    /// By name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<crate::flow_run::AnyOf<String>>,
}

/// `POST /work_pools/{pool}/workers/heartbeat`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The worker's name.
    pub name: String,
    /// Seconds until the next one: the server takes a worker for offline after three times this.
    #[serde(default)]
    pub heartbeat_interval_seconds: Option<u64>,
    /// Cloud only: asks for the worker's id in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_id: Option<bool>,
    /// Cloud only, until accepted once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<WorkerMetadata>,
}

/// What a worker tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerMetadata {
    /// Installed integrations.
    #[serde(default)]
    pub integrations: Vec<Integration>,
}

/// An installed integration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Integration {
    /// Its package name.
    pub name: String,
    /// Its version.
    pub version: String,
}

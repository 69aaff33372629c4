//! Deployments and the slots of their concurrency limit.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;
use worker_core::ids::{BlockDocumentId, DeploymentId, FlowId, RunId, WorkQueueId};

/// A deployment as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct DeploymentRow {
    /// Its id.
    pub id: DeploymentId,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// Its name, unique for its flow.
    pub name: String,
    /// Its flow.
    pub flow_id: FlowId,
    /// Its version.
    pub version: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// Whether its schedules rest.
    pub paused: bool,
    /// How many of its runs may hold a slot.
    pub concurrency_limit: Option<u32>,
    /// What happens to a run that finds no slot.
    pub collision: Option<Collision>,
    /// Seconds that a claimed run may take to start before its slot is lost; the server's default without.
    pub grace_period_seconds: Option<u32>,
    /// Its job variables.
    pub job_variables: Map<String, Value>,
    /// Its default parameters.
    pub parameters: Map<String, Value>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its labels.
    pub labels: Map<String, Value>,
    /// Its queue.
    pub work_queue_id: Option<WorkQueueId>,
    /// Where its code lies, without pull steps.
    pub path: Option<String>,
    /// The steps that bring its code.
    pub pull_steps: Value,
    /// What to load.
    pub entrypoint: Option<String>,
    /// The storage block with its code, without pull steps.
    pub storage_document_id: Option<BlockDocumentId>,
    /// Whether parameters are checked; told to clients, not done.
    pub enforce_parameter_schema: bool,
}

/// What happens to a run that finds no slot of its deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Collision {
    /// It waits and is offered again.
    Enqueue,
    /// It is cancelled.
    CancelNew,
}

/// A run's hold on a slot of its deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its id, told to the flow's process so that it can renew it.
    pub id: Uuid,
    /// The deployment.
    pub deployment_id: DeploymentId,
    /// The run.
    pub run_id: RunId,
    /// When the slot is free again unless renewed; never for clients that do not renew.
    pub expires: Option<Timestamp>,
}

impl Lease {
    /// Whether it still holds its slot.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| expires > now)
    }
}

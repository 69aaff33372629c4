//! Deployments.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use worker_core::ids::{BlockDocumentId, DeploymentId, FlowId, WorkQueueId};

/// A deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its id.
    pub id: DeploymentId,
    /// Its name.
    pub name: String,
    /// Its flow.
    pub flow_id: FlowId,
    /// When it was last changed.
    #[serde(default)]
    pub updated: Option<Timestamp>,
    /// Its job variables; very old servers call them `infra_overrides`.
    #[serde(default, alias = "infra_overrides")]
    pub job_variables: Option<Map<String, Value>>,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Its queue.
    #[serde(default)]
    pub work_queue_id: Option<WorkQueueId>,
    /// The steps that bring its code, as they came.
    #[serde(default)]
    pub pull_steps: Option<Value>,
    /// What to load: `path/file.py:function` or `module.function`.
    #[serde(default)]
    pub entrypoint: Option<String>,
    /// Where its code lies, without pull steps.
    #[serde(default)]
    pub path: Option<String>,
    /// The storage block with its code, without pull steps.
    #[serde(default)]
    pub storage_document_id: Option<BlockDocumentId>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

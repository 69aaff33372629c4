//! Flows, variables and log lines.

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;
use worker_core::ids::{FlowId, RunId};

/// A flow as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowRow {
    /// Its id.
    pub id: FlowId,
    /// When it was made.
    pub created: Timestamp,
    /// Its name, unique.
    pub name: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its labels.
    pub labels: Map<String, Value>,
}

/// A variable as stored.
#[derive(Clone, PartialEq)]
pub struct VariableRow {
    /// Its id.
    pub id: Uuid,
    /// When it was made.
    pub created: Timestamp,
    /// Its name, unique.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// Its tags.
    pub tags: Vec<String>,
}

/// A log line as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    /// Its id.
    pub id: Uuid,
    /// When it was received.
    pub created: Timestamp,
    /// The logger.
    pub name: String,
    /// 10 DEBUG to 50 CRITICAL.
    pub level: u16,
    /// The text.
    pub message: String,
    /// When it was written.
    pub timestamp: Timestamp,
    /// The run it belongs to.
    pub flow_run_id: Option<RunId>,
    /// The task run it belongs to.
    pub task_run_id: Option<Uuid>,
}

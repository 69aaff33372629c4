//! Log lines.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use worker_core::ids::{RunId, WorkerId};

/// One line of `POST /logs/`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// The logger.
    pub name: String,
    /// 10 DEBUG, 20 INFO, 30 WARNING, 40 ERROR, 50 CRITICAL.
    pub level: u8,
    /// The text.
    pub message: String,
    /// When it was written.
    pub timestamp: Timestamp,
    /// The run it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_run_id: Option<RunId>,
    /// Cloud only. A self-hosted server refuses the whole batch for it, null included, so it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<WorkerId>,
}

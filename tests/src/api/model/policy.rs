//! The policy of a run: retries, and the pauses it has been through.

use serde::{Deserialize, Deserializer, Serialize};

/// `empirical_policy` of a flow run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Not used by the server; kept for old clients.
    pub max_retries: u32,
    /// Not used by the server; kept for old clients.
    pub retry_delay_seconds: f64,
    /// How often a failed run is tried again.
    pub retries: Option<u32>,
    /// Seconds before the next try.
    pub retry_delay: Option<i64>,
    /// Pauses that have fired: each fires once.
    #[serde(deserialize_with = "null_is_empty")]
    pub pause_keys: Vec<String>,
    /// Whether the run comes back from a pause, so that the next Running is not counted as a new try.
    pub resuming: Option<bool>,
    /// The kind of retry that the run undergoes.
    pub retry_type: Option<RetryType>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_retries: 0,
            retry_delay_seconds: 0.0,
            retries: None,
            retry_delay: None,
            pause_keys: Vec::new(),
            resuming: Some(false),
            retry_type: None,
        }
    }
}

/// Who starts the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryType {
    /// The process that runs the flow: no poll returns the run.
    InProcess,
    /// A worker, as with a new run.
    Reschedule,
}

fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

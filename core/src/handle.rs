//! The value by which a piece of infrastructure is found again.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{InfraId, LaunchKey};
use crate::spec::ReportState;

/// The kind of infrastructure a plugin drives, as the API spells it in a work pool's `type`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PluginKind(String);

impl PluginKind {
    /// Names a kind, such as `process`.
    pub fn new(kind: impl Into<String>) -> Self {
        Self(kind.into())
    }

    /// The API's spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A plain value with which a process that has never seen the infrastructure can watch, kill and clean it up.
///
/// The daemon stores it and never looks into `detail`; the version lets a newer plugin read an older handle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handle {
    /// The plugin that made it.
    pub kind: PluginKind,
    /// Version of the shape of `detail`.
    pub version: u32,
    /// The execution it belongs to.
    pub key: LaunchKey,
    /// The backend's own name for it, reported to the API.
    pub infra_id: InfraId,
    /// Who reports the run's states: told by the infrastructure itself where nobody remembers having launched it.
    #[serde(default)]
    pub report_state: ReportState,
    /// Whether something inside it ends the run when it is cancelled, as Prefect's `flow-run execute` does.
    #[serde(default)]
    pub cancels_itself: bool,
    /// The plugin's own data. No secrets. Shared, because every step of a run has a copy of its handle.
    pub detail: Arc<serde_json::Value>,
}

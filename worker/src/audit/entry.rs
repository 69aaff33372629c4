//! One line.

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use worker_core::ids::{DeploymentId, InfraId, RunId};
use worker_core::policy::Requested;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The run is this worker's.
    Claim,
    /// The policy does not allow it.
    Refuse,
    /// It is about to be started.
    Launch,
    /// It was started.
    Started,
    /// It is stopped.
    Kill,
    /// It is over.
    End,
}

/// One line. What does not belong to an event is not in its line.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// When.
    pub time: Timestamp,
    /// What.
    pub event: Event,
    /// The worker's name.
    pub worker: String,
    /// The worker's process.
    pub pid: u32,
    /// The work pool.
    pub pool: String,
    /// The kind of infrastructure.
    pub kind: String,
    /// The flow run.
    pub flow_run_id: RunId,
    /// Its name.
    pub flow_run_name: String,
    /// Its deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<DeploymentId>,
    /// What it runs on, by the backend's own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub infrastructure: Option<InfraId>,
    /// The images of its containers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// SHA-256 of its commands, one a line; absent for the kind's default command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commands_sha256: Option<String>,
    /// The rule that does not allow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Why it is stopped or refused, or how it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Entry {
    /// Adds what is started.
    #[must_use]
    pub fn starting(self, requested: &Requested) -> Self {
        let commands: Vec<&str> = requested.commands.iter().map(String::as_str).collect();
        let digest = || hex(&Sha256::digest(commands.join("\n")));
        Self {
            images: requested.images.iter().cloned().collect(),
            commands_sha256: (!commands.is_empty()).then(digest),
            ..self
        }
    }

    /// Adds what it runs on.
    #[must_use]
    pub fn on(self, infrastructure: Option<&InfraId>) -> Self {
        Self { infrastructure: infrastructure.cloned(), ..self }
    }

    /// Adds why.
    #[must_use]
    pub fn because(self, why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), ..self }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

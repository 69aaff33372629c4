//! States of a flow run, and how they are proposed and judged.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use worker_core::ids::{RunId, StateId, TransitionId};

/// The type of a state. Newer servers may know more: those are kept as text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StateType {
    /// Waiting for its time, or for another try.
    Scheduled,
    /// Claimed by a worker; not yet running.
    Pending,
    /// The engine runs the flow.
    Running,
    /// Ended well.
    Completed,
    /// The flow's own code failed.
    Failed,
    /// Ended by request.
    Cancelled,
    /// Ended by its infrastructure.
    Crashed,
    /// Waiting for input or for somebody to resume it.
    Paused,
    /// Asked to end.
    Cancelling,
    /// A type of a newer server.
    #[serde(untagged)]
    Other(String),
}

impl StateType {
    /// Whether a run in such a state has ended.
    pub const fn is_terminal(&self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::Crashed)
    }

    /// The API's spelling.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Scheduled => "SCHEDULED",
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::Crashed => "CRASHED",
            Self::Paused => "PAUSED",
            Self::Cancelling => "CANCELLING",
            Self::Other(text) => text,
        }
    }

    /// The name that the server gives a state of this type when the proposal has none.
    pub fn default_name(&self) -> &str {
        match self {
            Self::Scheduled => "Scheduled",
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
            Self::Crashed => "Crashed",
            Self::Paused => "Paused",
            Self::Cancelling => "Cancelling",
            Self::Other(text) => text,
        }
    }
}

impl fmt::Display for StateType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The details of a state that a worker reads or sends; what else there is, is kept as it came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StateDetails {
    /// The run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_run_id: Option<RunId>,
    /// When a Scheduled run is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_time: Option<Timestamp>,
    /// Identity of the proposal: the server ignores a repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transition_id: Option<TransitionId>,
    /// Whether a paused run is to be rescheduled when resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_reschedule: Option<bool>,
    /// All other details.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A state as the server stores it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Its id.
    #[serde(default)]
    pub id: Option<StateId>,
    /// Its type.
    #[serde(rename = "type")]
    pub state_type: StateType,
    /// Its name; the type's default name if the server sends none.
    #[serde(default)]
    pub name: Option<String>,
    /// When it was stored.
    #[serde(default)]
    pub timestamp: Option<Timestamp>,
    /// Its message.
    #[serde(default)]
    pub message: Option<String>,
    /// The result reference, as it came.
    #[serde(default)]
    pub data: Option<Value>,
    /// Its details.
    #[serde(default)]
    pub state_details: StateDetails,
}

impl State {
    /// A state of which nothing but the type is known.
    pub fn of_type(state_type: StateType) -> Self {
        let state_details = StateDetails::default();
        Self { id: None, state_type, name: None, timestamp: None, message: None, data: None, state_details }
    }

    /// The name, or the type's default.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| self.state_type.default_name())
    }
}

/// A state that is proposed. The server stamps id and time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateProposal {
    /// Its type.
    #[serde(rename = "type")]
    pub state_type: StateType,
    /// Its name; the server uses the type's default if there is none.
    #[serde(default)]
    pub name: Option<String>,
    /// Its message.
    #[serde(default)]
    pub message: Option<String>,
    /// The result reference. A worker sends none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// Its details. `deployment_concurrency_lease_id` is left out, never null: servers 3.6.22 and 3.6.23 lose the
    /// lease when it is null.
    #[serde(default)]
    pub state_details: StateDetails,
}

/// `POST /flow_runs/{id}/set_state`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetStateRequest {
    /// The proposal.
    pub state: StateProposal,
    /// Whether the server's rules are bypassed.
    #[serde(default)]
    pub force: bool,
}

/// What the server decided about a proposal. The HTTP status says nothing about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SetStateStatus {
    /// Stored.
    Accept,
    /// Not stored; another state may have been stored instead.
    Reject,
    /// Not stored; give up.
    Abort,
    /// Not yet: ask again later.
    Wait,
}

/// Why, and for how long.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SetStateDetails {
    /// `accept_details`, `reject_details`, `abort_details`, `wait_details`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The reason, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// With [`SetStateStatus::Wait`]: seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_seconds: Option<f64>,
}

/// The answer to a proposal: 201 when a state was stored, 200 when nothing changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetStateResponse {
    /// The run's state now, if the server names one.
    #[serde(default)]
    pub state: Option<State>,
    /// The decision.
    pub status: SetStateStatus,
    /// Its reason.
    #[serde(default)]
    pub details: SetStateDetails,
}

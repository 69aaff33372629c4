//! A flow run with every state it has been in.

use central_api_wire::state::{State, StateType};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use uuid::Uuid;
use worker_core::ids::{DeploymentId, FlowId, RunId, WorkQueueId};

use super::Policy;

/// A flow run as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// Its name.
    pub name: String,
    /// Its flow.
    pub flow_id: FlowId,
    /// Its deployment. The deployment may be gone: nothing clears this.
    pub deployment_id: Option<DeploymentId>,
    /// Its queue; cleared when the queue is deleted.
    pub work_queue_id: Option<WorkQueueId>,
    /// Version of its flow, told by the engine.
    pub flow_version: Option<String>,
    /// Its parameters.
    pub parameters: Map<String, Value>,
    /// A second creation with the same key and flow returns this run.
    pub idempotency_key: Option<String>,
    /// Its context.
    pub context: Map<String, Value>,
    /// Retries and pauses.
    pub policy: Policy,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its labels.
    pub labels: Map<String, Value>,
    /// The task run that stands for it in its parent, if it is a subflow.
    pub parent_task_run_id: Option<Uuid>,
    /// Every state it has been in, oldest first.
    pub history: Vec<State>,
    /// How often it has been Running.
    pub run_count: u32,
    /// When it was due at first.
    pub expected_start_time: Option<Timestamp>,
    /// When it is due, while it is Scheduled.
    pub next_scheduled_start_time: Option<Timestamp>,
    /// When it was first Running.
    pub start_time: Option<Timestamp>,
    /// When it ended, while it is ended.
    pub end_time: Option<Timestamp>,
    /// Time spent Running, without the present one.
    pub total_run_time: SignedDuration,
    /// What its infrastructure is called by the backend.
    pub infrastructure_pid: Option<String>,
    /// Its own job variables.
    pub job_variables: Map<String, Value>,
}

impl Run {
    /// Its state.
    pub fn state(&self) -> Option<&State> {
        self.history.last()
    }

    /// Type of its state.
    pub fn state_type(&self) -> Option<&StateType> {
        self.state().map(|state| &state.state_type)
    }

    /// Name of its state; empty without one.
    pub fn state_name(&self) -> &str {
        self.state().map_or("", State::name)
    }

    /// The names of all its states, oldest first.
    pub fn state_names(&self) -> Vec<&str> {
        self.history.iter().map(State::name).collect()
    }

    /// Whether it holds a slot of its pool and queue.
    pub fn holds_slot(&self) -> bool {
        matches!(self.state_type(), Some(StateType::Pending | StateType::Running))
    }
}

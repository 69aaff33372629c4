//! Flow runs and flows, and the poll that finds them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use worker_core::ids::{DeploymentId, FlowId, RunId, StateId, WorkPoolId, WorkQueueId};

use crate::state::{State, StateType};

/// A flow run. What a worker does not use is kept as it came, because templates may refer to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowRun {
    /// Its id.
    pub id: RunId,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its flow.
    pub flow_id: FlowId,
    /// Its deployment, if it was made from one.
    #[serde(default)]
    pub deployment_id: Option<DeploymentId>,
    /// Id of its state.
    #[serde(default)]
    pub state_id: Option<StateId>,
    /// Type of its state.
    #[serde(default)]
    pub state_type: Option<StateType>,
    /// Name of its state.
    #[serde(default)]
    pub state_name: Option<String>,
    /// Its state. **Null in the answer to a poll**: only `state_type` and `state_name` are filled there.
    #[serde(default)]
    pub state: Option<State>,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Its labels.
    #[serde(default)]
    pub labels: Option<Map<String, Value>>,
    /// Its own job variables; null on old servers.
    #[serde(default)]
    pub job_variables: Option<Map<String, Value>>,
    /// How often it has been Running.
    #[serde(default)]
    pub run_count: u32,
    /// When it was first Running. Not null does not mean that it runs now: a resumed run keeps it.
    #[serde(default)]
    pub start_time: Option<Timestamp>,
    /// When it is due.
    #[serde(default)]
    pub next_scheduled_start_time: Option<Timestamp>,
    /// When it was due at first.
    #[serde(default)]
    pub expected_start_time: Option<Timestamp>,
    /// Id of its infrastructure at the backend.
    #[serde(default)]
    pub infrastructure_pid: Option<String>,
    /// Its queue.
    #[serde(default)]
    pub work_queue_id: Option<WorkQueueId>,
    /// Retry policy and pause keys, as they came.
    #[serde(default)]
    pub empirical_policy: Map<String, Value>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// Its id.
    pub id: FlowId,
    /// Its name.
    pub name: String,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// `POST /work_pools/{pool}/get_scheduled_flow_runs`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScheduledRunsRequest {
    /// The queues to look at; none means all queues of the pool.
    #[serde(default)]
    pub work_queue_names: Option<Vec<String>>,
    /// Only runs due before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_before: Option<Timestamp>,
    /// Only runs due after this time. A worker does not send it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_after: Option<Timestamp>,
    /// At most this many; 200 at most. A worker does not send it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// One run of a poll's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScheduledRun {
    /// Its pool.
    pub work_pool_id: WorkPoolId,
    /// Its queue.
    pub work_queue_id: WorkQueueId,
    /// The run, with `state` null.
    pub flow_run: FlowRun,
}

/// `PATCH /flow_runs/{id}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowRunUpdate {
    /// Id of the infrastructure at the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infrastructure_pid: Option<String>,
}

/// `PATCH /flow_runs/{id}/labels`: the labels to merge into the run's.
pub type LabelsUpdate = Map<String, Value>;

/// `POST /flow_runs/filter`, as far as a worker uses it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FlowRunsFilterRequest {
    /// The filter.
    #[serde(default)]
    pub flow_runs: Option<FlowRunFilter>,
    /// Only runs of these work pools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_pools: Option<WorkPoolFilter>,
    /// Only runs of these work queues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_pool_queues: Option<WorkPoolFilter>,
    /// In which order; none leaves it to the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<FlowRunSort>,
    /// How many to skip.
    #[serde(default)]
    pub offset: u32,
    /// At most this many.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// A filter on work pools or queues.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkPoolFilter {
    /// By name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<AnyOf<String>>,
}

/// A filter on flow runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FlowRunFilter {
    /// By id. An empty list matches nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<AnyOf<RunId>>,
    /// By state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateFilter>,
    /// By when it is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_scheduled_start_time: Option<NotBefore>,
}

/// A time or later.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NotBefore {
    /// The time.
    pub after_: Timestamp,
}

/// The order of runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FlowRunSort {
    /// Those that are due first.
    NextScheduledStartTimeAsc,
}

/// A filter on the state of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StateFilter {
    /// By type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub state_type: Option<AnyOf<StateType>>,
    /// By name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<AnyOf<String>>,
}

/// A list of which one must match.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnyOf<T> {
    /// The list.
    #[serde(default = "Vec::new")]
    pub any_: Vec<T>,
}

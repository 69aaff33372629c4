//! What is written down of a run.

use central_api_wire::flow_run::FlowRun;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Map;
use worker_core::handle::PluginKind;
use worker_core::ids::{DeploymentId, FlowId, LaunchKey, WorkPoolId};
use worker_core::machine::Run;

use crate::run::Told;
use crate::timeline::Note;
use crate::traces::WrittenTrace;

/// Version of a record's form. A release reads its own and the one before; fields that it does not know are passed over,
/// and new ones have defaults.
pub const FORMAT: u32 = 1;

/// A run as it is written down. No secrets: neither job variables nor environments nor templates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Version of the form.
    pub format: u32,
    /// Where the run is.
    pub run: Run,
    /// What is needed to go on with it.
    pub facts: Facts,
    /// What was decided about it so far.
    #[serde(default)]
    pub timeline: Vec<Note>,
}

/// What a later process needs to know of a run that it did not take on itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The flow run's name.
    pub name: String,
    /// Its flow.
    pub flow_id: FlowId,
    /// Its deployment.
    #[serde(default)]
    pub deployment_id: Option<DeploymentId>,
    /// When it was due.
    #[serde(default)]
    pub due: Option<Timestamp>,
    /// The name of the pool that offered it.
    pub pool: String,
    /// The id of that pool.
    pub pool_id: WorkPoolId,
    /// The kind of infrastructure.
    pub kind: PluginKind,
    /// The name of the worker that took it.
    pub worker: String,
    /// What the API was told, once it was.
    #[serde(default)]
    pub told: Option<Told>,
    /// The trace of what is done for it, if one is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<WrittenTrace>,
}

impl Facts {
    /// The run as an offer shows it, as far as it was written down. What is missing is read from the API before it is used.
    pub fn flow_run(&self, key: LaunchKey) -> FlowRun {
        FlowRun {
            id: key.run,
            name: self.name.clone(),
            flow_id: self.flow_id,
            deployment_id: self.deployment_id,
            state_id: None,
            state_type: None,
            state_name: None,
            state: None,
            tags: Vec::new(),
            labels: None,
            job_variables: None,
            run_count: 0,
            start_time: None,
            next_scheduled_start_time: self.due,
            expected_start_time: None,
            infrastructure_pid: None,
            work_queue_id: None,
            empirical_policy: Map::new(),
            other: Map::new(),
        }
    }
}

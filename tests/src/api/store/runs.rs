//! Flow runs: made, changed, deleted.

use central_api_wire::state::{StateDetails, StateProposal, StateType};
use jiff::{SignedDuration, Timestamp};
use rand::seq::IndexedRandom;
use serde_json::{Map, Value};
use uuid::Uuid;
use worker_core::ids::{DeploymentId, FlowId, RunId, WorkQueueId};

use super::{StoreError, Tables};
use crate::api::model::{DeploymentRow, Policy, Run};
use crate::api::rules::Draft;

/// A run to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRun {
    /// Its flow.
    pub flow_id: FlowId,
    /// Its deployment.
    pub deployment_id: Option<DeploymentId>,
    /// Its queue.
    pub work_queue_id: Option<WorkQueueId>,
    /// Its name; a made-up one without.
    pub name: Option<String>,
    /// Its first state. A Scheduled one without a due time is due at once.
    pub state: StateProposal,
    /// Version of its flow.
    pub flow_version: Option<String>,
    /// Its parameters.
    pub parameters: Map<String, Value>,
    /// Its context.
    pub context: Map<String, Value>,
    /// Retries and pauses.
    pub policy: Policy,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its labels.
    pub labels: Map<String, Value>,
    /// Its own job variables.
    pub job_variables: Map<String, Value>,
    /// A second creation with the same key and flow returns the first run.
    pub idempotency_key: Option<String>,
    /// The task run that stands for it in its parent.
    pub parent_task_run_id: Option<Uuid>,
}

impl NewRun {
    /// A run of a flow, without a deployment: Pending, for the process that made it.
    pub fn of_flow(flow_id: FlowId) -> Self {
        Self {
            flow_id,
            deployment_id: None,
            work_queue_id: None,
            name: None,
            state: Self::state(StateType::Pending),
            flow_version: None,
            parameters: Map::new(),
            context: Map::new(),
            policy: Policy::default(),
            tags: Vec::new(),
            labels: Map::new(),
            job_variables: Map::new(),
            idempotency_key: None,
            parent_task_run_id: None,
        }
    }

    /// A run of a deployment, due at once.
    pub fn of_deployment(deployment: &DeploymentRow) -> Self {
        Self {
            deployment_id: Some(deployment.id),
            work_queue_id: deployment.work_queue_id,
            state: Self::state(StateType::Scheduled),
            parameters: deployment.parameters.clone(),
            tags: deployment.tags.clone(),
            ..Self::of_flow(deployment.flow_id)
        }
    }

    /// The same, due at a time.
    #[must_use]
    pub fn due(mut self, due: Timestamp) -> Self {
        self.state = Self::state(StateType::Scheduled);
        self.state.state_details.scheduled_time = Some(due);
        self
    }

    fn state(state_type: StateType) -> StateProposal {
        let name = Some(state_type.default_name().to_owned());
        StateProposal { state_type, name, message: None, data: None, state_details: StateDetails::default() }
    }
}

impl Tables {
    /// Makes a run; tells whether it is new, which it is not if its idempotency key is known.
    pub(crate) fn create_run(&mut self, new: NewRun, now: Timestamp) -> Result<(RunId, bool), StoreError> {
        self.flow(new.flow_id)?;
        let repeated = new.idempotency_key.is_some().then(|| {
            self.runs.values().find(|run| run.flow_id == new.flow_id && run.idempotency_key == new.idempotency_key)
        });
        if let Some(known) = repeated.flatten() {
            return Ok((known.id, false));
        }
        let id = RunId(Uuid::new_v4());
        let mut draft = Draft::from(&new.state);
        if draft.state_type == StateType::Scheduled {
            draft.details.scheduled_time.get_or_insert(now);
        }
        let labels = self.labels_for(&new);
        let run = Run {
            id,
            created: now,
            updated: now,
            name: new.name.unwrap_or_else(made_up_name),
            flow_id: new.flow_id,
            deployment_id: new.deployment_id,
            work_queue_id: new.work_queue_id,
            flow_version: new.flow_version,
            parameters: new.parameters,
            idempotency_key: new.idempotency_key,
            context: new.context,
            policy: new.policy,
            tags: sorted_set(new.tags),
            labels,
            parent_task_run_id: new.parent_task_run_id,
            history: Vec::new(),
            run_count: 0,
            expected_start_time: None,
            next_scheduled_start_time: None,
            start_time: None,
            end_time: None,
            total_run_time: SignedDuration::ZERO,
            infrastructure_pid: None,
            job_variables: new.job_variables,
        };
        self.runs.insert(id, run);
        self.store_state(id, draft, now);
        Ok((id, true))
    }

    /// A run to be changed in place, its state excepted.
    pub(crate) fn run_mut(&mut self, id: RunId) -> Result<&mut Run, StoreError> {
        self.runs.get_mut(&id).ok_or(StoreError::RunNotFound)
    }

    /// Deletes a run with its logs.
    pub(crate) fn delete_run(&mut self, id: RunId) -> Result<(), StoreError> {
        self.runs.remove(&id).ok_or(StoreError::RunNotFound)?;
        self.leases.retain(|lease| lease.run_id != id);
        self.logs.retain(|line| line.flow_run_id != Some(id));
        Ok(())
    }

    fn labels_for(&self, new: &NewRun) -> Map<String, Value> {
        let mut labels = Map::new();
        if let Some(flow) = self.flows.get(&new.flow_id) {
            labels.extend(flow.labels.clone());
        }
        labels.insert("prefect.flow.id".to_owned(), Value::String(new.flow_id.to_string()));
        if let Some(id) = new.deployment_id {
            labels.extend(self.deployments.get(&id).map(|row| row.labels.clone()).unwrap_or_default());
            labels.insert("prefect.deployment.id".to_owned(), Value::String(id.to_string()));
        }
        labels.extend(new.labels.clone());
        labels
    }
}

fn sorted_set(mut tags: Vec<String>) -> Vec<String> {
    tags.sort();
    tags.dedup();
    tags
}

const MANNERS: [&str; 12] =
    ["amber", "brisk", "calm", "deft", "eager", "fond", "gentle", "keen", "lucid", "mellow", "quiet", "swift"];
const ANIMALS: [&str; 12] =
    ["auk", "badger", "crane", "dormouse", "egret", "finch", "gecko", "heron", "ibis", "jackdaw", "lynx", "marten"];

fn made_up_name() -> String {
    let mut rng = rand::rng();
    let mut pick = |words: &[&'static str]| words.choose(&mut rng).copied().unwrap_or("run");
    format!("{}-{}", pick(&MANNERS), pick(&ANIMALS))
}

//! The direct API: what tests do without HTTP. Each call is one step on the tables.

use central_api_wire::event::Event;
use central_api_wire::state::{State, StateDetails, StateProposal, StateType};
use serde_json::{Map, Value};
use uuid::Uuid;
use worker_core::ids::{BlockDocumentId, DeploymentId, FlowId, RunId, WorkPoolId, WorkQueueId};

use super::pools::PoolChange;
use super::queues::QueueChange;
use super::transitions::Proposer;
use super::{
    Change, NewDeployment, NewPool, NewQueue, NewRun, Outcome, ScheduledRuns, Store, StoreError, StoredEvent, Tables,
};
use crate::api::model::{CleanupRequest, LogRow, Pool, Run, VariableRow, now};

/// A block document to be made.
#[derive(Clone, PartialEq)]
pub struct NewBlock {
    /// Slug of its type, such as `secret`.
    pub type_slug: String,
    /// Its name; none for an anonymous block.
    pub name: Option<String>,
    /// Its data.
    pub data: Map<String, Value>,
    /// Paths, with dots, of the secret fields.
    pub secret_fields: Vec<String>,
}

impl NewBlock {
    /// A block of the type `secret`: one masked field `value`.
    pub fn secret(name: &str, value: impl Into<Value>) -> Self {
        Self {
            type_slug: "secret".to_owned(),
            name: Some(name.to_owned()),
            data: Map::from_iter([("value".to_owned(), value.into())]),
            secret_fields: vec!["value".to_owned()],
        }
    }
}

/// Making things.
impl Store {
    /// Makes a pool with its default queue.
    pub fn create_pool(&self, new: NewPool) -> Result<WorkPoolId, StoreError> {
        self.write(|tables| tables.create_pool(new, now()))
    }

    /// Makes a queue.
    pub fn create_queue(&self, pool: &str, new: NewQueue) -> Result<WorkQueueId, StoreError> {
        self.write(|tables| tables.create_queue(pool, new, now()))
    }

    /// Makes a flow, or finds it.
    pub fn create_flow(&self, name: &str) -> FlowId {
        self.write(|tables| tables.create_flow(name, Vec::new(), Map::new(), now()).0)
    }

    /// Makes or replaces a deployment.
    pub fn create_deployment(&self, new: NewDeployment) -> Result<DeploymentId, StoreError> {
        self.write(|tables| tables.create_deployment(new, now())).map(|(id, _)| id)
    }

    /// Makes a run.
    pub fn create_run(&self, new: NewRun) -> Result<RunId, StoreError> {
        self.write(|tables| tables.create_run(new, now())).map(|(id, _)| id)
    }

    /// Makes a run of a deployment, due at once.
    pub fn schedule_run(&self, deployment: DeploymentId) -> Result<RunId, StoreError> {
        self.schedule_run_with(deployment, |_| {})
    }

    /// Makes a run of a deployment, changed before it is made.
    pub fn schedule_run_with(
        &self,
        deployment: DeploymentId,
        change: impl FnOnce(&mut NewRun),
    ) -> Result<RunId, StoreError> {
        self.write(|tables| {
            let mut new = NewRun::of_deployment(tables.deployment(deployment)?);
            change(&mut new);
            tables.create_run(new, now()).map(|(id, _)| id)
        })
    }

    /// Makes a block document.
    pub fn create_block(&self, new: NewBlock) -> BlockDocumentId {
        self.write(|tables| tables.add_block(new, now()))
    }

    /// Makes or replaces a variable.
    pub fn set_variable(&self, name: &str, value: impl Into<Value>) {
        let row = VariableRow {
            id: Uuid::new_v4(),
            created: now(),
            name: name.to_owned(),
            value: value.into(),
            tags: Vec::new(),
        };
        self.write(|tables| tables.variables.insert(row.name.clone(), row));
    }

    /// Hands a clean-up to some worker of a pool, as soon as one is connected that can do it. Returns its message id.
    pub fn enqueue_cleanup(&self, pool: &str, request: CleanupRequest) -> Result<Uuid, StoreError> {
        self.write(|tables| {
            let pool = tables.pool(pool)?.id;
            Ok(tables.enqueue_cleanup(pool, request))
        })
    }

    /// Stores an event, as a client would send it.
    pub fn add_event(&self, event: Event) {
        self.write(|tables| tables.add_event(event, now()));
    }
}

/// Changing things.
impl Store {
    /// Pauses or unpauses a pool.
    pub fn set_pool_paused(&self, pool: &str, paused: bool) -> Result<(), StoreError> {
        self.change_pool(pool, PoolChange { is_paused: Change::To(paused), ..PoolChange::default() })
    }

    /// Sets or lifts the limit of a pool.
    pub fn set_pool_limit(&self, pool: &str, limit: Option<u32>) -> Result<(), StoreError> {
        self.change_pool(pool, PoolChange { concurrency_limit: Change::To(limit), ..PoolChange::default() })
    }

    /// Replaces the template of a pool.
    pub fn set_pool_template(&self, pool: &str, template: Map<String, Value>) -> Result<(), StoreError> {
        self.change_pool(pool, PoolChange { base_job_template: Change::To(template), ..PoolChange::default() })
    }

    /// Pauses or unpauses a queue.
    pub fn set_queue_paused(&self, pool: &str, queue: &str, paused: bool) -> Result<(), StoreError> {
        self.change_queue(pool, queue, QueueChange { is_paused: Change::To(paused), ..QueueChange::default() })
    }

    /// Sets or lifts the limit of a queue.
    pub fn set_queue_limit(&self, pool: &str, queue: &str, limit: Option<u32>) -> Result<(), StoreError> {
        self.change_queue(pool, queue, QueueChange { concurrency_limit: Change::To(limit), ..QueueChange::default() })
    }

    /// Sets or lifts the limit of a deployment.
    pub fn set_deployment_limit(&self, deployment: DeploymentId, limit: Option<u32>) -> Result<(), StoreError> {
        self.write(|tables| {
            tables.deployment_mut(deployment)?.concurrency_limit = limit;
            Ok(())
        })
    }

    /// Proposes a state, as a client would.
    pub fn propose(&self, run: RunId, state: StateProposal, force: bool) -> Result<Outcome, StoreError> {
        let proposal = Proposer::default().proposes(state, force);
        self.write(|tables| tables.set_state(run, &proposal, now()))
    }

    /// Cancels a run as a user does: proposes Cancelling.
    pub fn cancel_run(&self, run: RunId) -> Result<Outcome, StoreError> {
        self.propose(run, of_type(StateType::Cancelling, None), false)
    }

    /// Resumes a paused or suspended run.
    pub fn resume_run(&self, run: RunId) -> Result<Outcome, StoreError> {
        self.write(|tables| tables.resume(run, Proposer::default(), now()))
    }

    /// Marks a scheduled run late, as the server's own loop does.
    pub fn mark_late(&self, run: RunId) -> Result<Outcome, StoreError> {
        self.write(|tables| {
            let due = tables.run(run)?.next_scheduled_start_time;
            let mut late = of_type(StateType::Scheduled, Some("Late"));
            late.state_details.scheduled_time = due;
            tables.set_state(run, &Proposer::default().proposes(late, false), now())
        })
    }

    /// Ends the cancellation of a run that nobody finished and hands its clean-up to a worker, as the server does after
    /// its timeout. Returns the message id of the clean-up; none if the run was not being cancelled or has no pool.
    pub fn time_out_cancellation(&self, run: RunId) -> Result<Option<Uuid>, StoreError> {
        self.write(|tables| {
            if !tables.time_out_cancellation(run, now())? {
                return Ok(None);
            }
            let run = tables.run(run)?;
            let queue = run.work_queue_id.and_then(|id| tables.queue_by_id(id));
            let target = Map::from_iter([
                ("flow_run_id".to_owned(), Value::String(run.id.to_string())),
                ("infrastructure_pid".to_owned(), run.infrastructure_pid.clone().map_or(Value::Null, Value::String)),
            ]);
            let Some((pool, queue)) = queue.map(|queue| (queue.work_pool_id, queue.id)) else { return Ok(None) };
            let kind = central_api_wire::channel::CLEANUP_CANCELLING_TIMEOUT.to_owned();
            let request = CleanupRequest { kind, target, data: Map::new(), work_queue_id: Some(queue) };
            Ok(Some(tables.enqueue_cleanup(pool, request)))
        })
    }

    /// Deletes a run.
    pub fn delete_run(&self, run: RunId) -> Result<(), StoreError> {
        self.write(|tables| tables.delete_run(run))
    }

    /// Deletes a deployment.
    pub fn delete_deployment(&self, id: DeploymentId, scheduled: ScheduledRuns) -> Result<(), StoreError> {
        self.write(|tables| tables.delete_deployment(id, scheduled))
    }

    /// Deletes a flow with its deployments and runs.
    pub fn delete_flow(&self, flow: FlowId) -> Result<(), StoreError> {
        self.write(|tables| tables.delete_flow(flow))
    }

    /// Deletes a pool with its queues.
    pub fn delete_pool(&self, pool: &str) -> Result<(), StoreError> {
        self.write(|tables| tables.delete_pool(pool))
    }

    /// Voids all CSRF tokens.
    pub fn forget_csrf_tokens(&self) {
        self.write(Tables::forget_csrf_tokens);
    }

    fn change_pool(&self, pool: &str, change: PoolChange) -> Result<(), StoreError> {
        self.write(|tables| tables.change_pool(pool, change, now()))
    }

    fn change_queue(&self, pool: &str, queue: &str, change: QueueChange) -> Result<(), StoreError> {
        self.write(|tables| {
            let id = tables.queue(pool, queue)?.id;
            tables.change_queue(id, change, now());
            Ok(())
        })
    }
}

/// Reading things: copies, as of now.
impl Store {
    /// A run with its history.
    pub fn run(&self, id: RunId) -> Option<Run> {
        self.read(|tables| tables.run(id).cloned().ok())
    }

    /// A pool.
    pub fn pool(&self, name: &str) -> Option<Pool> {
        self.read(|tables| tables.pool(name).cloned().ok())
    }

    /// Every state a run has been in, oldest first; none for an unknown run.
    pub fn history(&self, id: RunId) -> Vec<State> {
        self.run(id).map(|run| run.history).unwrap_or_default()
    }

    /// The names of every state a run has been in, oldest first.
    pub fn state_names(&self, id: RunId) -> Vec<String> {
        self.history(id).iter().map(|state| state.name().to_owned()).collect()
    }

    /// The log lines of a run.
    pub fn logs_of(&self, id: RunId) -> Vec<LogRow> {
        self.read(|tables| tables.logs_of(id).cloned().collect())
    }

    /// All events, in the order of arrival.
    pub fn events(&self) -> Vec<StoredEvent> {
        self.read(|tables| tables.events().to_vec())
    }
}

fn of_type(state_type: StateType, name: Option<&str>) -> StateProposal {
    let name = name.unwrap_or_else(|| state_type.default_name()).to_owned();
    StateProposal { state_type, name: Some(name), message: None, data: None, state_details: StateDetails::default() }
}

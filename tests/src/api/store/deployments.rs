//! Deployments.

use central_api_wire::state::StateType;
use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;
use worker_core::ids::{BlockDocumentId, DeploymentId, FlowId};

use super::{StoreError, Tables};
use crate::api::model::{Collision, DeploymentRow};

/// A deployment to be made. One of the same flow and name is replaced; it keeps its id, and its concurrency limit unless a
/// new one is named.
#[derive(Clone, Debug, PartialEq)]
pub struct NewDeployment {
    /// Its flow.
    pub flow_id: FlowId,
    /// Its name.
    pub name: String,
    /// Its pool.
    pub work_pool_name: Option<String>,
    /// Its queue, made if it is missing; the pool's default one without.
    pub work_queue_name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// Whether it begins paused.
    pub paused: bool,
    /// How many of its runs may hold a slot.
    pub concurrency_limit: Option<u32>,
    /// What happens to a run that finds no slot.
    pub collision: Option<Collision>,
    /// Seconds that a claimed run may take to start.
    pub grace_period_seconds: Option<u32>,
    /// Its job variables.
    pub job_variables: Map<String, Value>,
    /// Its default parameters.
    pub parameters: Map<String, Value>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its labels.
    pub labels: Map<String, Value>,
    /// Where its code lies, without pull steps.
    pub path: Option<String>,
    /// The steps that bring its code.
    pub pull_steps: Option<Value>,
    /// What to load.
    pub entrypoint: Option<String>,
    /// The storage block with its code, without pull steps.
    pub storage_document_id: Option<BlockDocumentId>,
    /// Whether parameters are to be checked.
    pub enforce_parameter_schema: bool,
}

impl NewDeployment {
    /// A deployment on the default queue of a pool.
    pub fn new(flow_id: FlowId, name: &str, pool: &str) -> Self {
        Self {
            flow_id,
            name: name.to_owned(),
            work_pool_name: Some(pool.to_owned()),
            work_queue_name: None,
            version: None,
            description: None,
            paused: false,
            concurrency_limit: None,
            collision: None,
            grace_period_seconds: None,
            job_variables: Map::new(),
            parameters: Map::new(),
            tags: Vec::new(),
            labels: Map::new(),
            path: None,
            pull_steps: None,
            entrypoint: None,
            storage_document_id: None,
            enforce_parameter_schema: true,
        }
    }
}

/// What happens to the scheduled runs of a deleted deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduledRuns {
    /// Those that never ran are deleted with it, as the server does.
    Delete,
    /// All stay: what a worker sees that was offered a run just before.
    Keep,
}

impl Tables {
    /// Makes or replaces a deployment; tells whether it is new.
    pub(crate) fn create_deployment(
        &mut self,
        new: NewDeployment,
        now: Timestamp,
    ) -> Result<(DeploymentId, bool), StoreError> {
        let flow = self.flow(new.flow_id)?.id;
        let work_queue_id = match (&new.work_pool_name, &new.work_queue_name) {
            (None, _) => None,
            (Some(pool), Some(queue)) => Some(self.ensure_queue(pool, queue, now)?),
            (Some(pool), None) => Some(self.pool(pool)?.default_queue_id),
        };
        let known = self.deployments.values().find(|row| row.flow_id == flow && row.name == new.name);
        let (id, created) = known.map_or_else(|| (DeploymentId(Uuid::new_v4()), now), |row| (row.id, row.created));
        let is_new = known.is_none();
        let kept = known.cloned();
        let mut labels = Map::from_iter([("prefect.flow.id".to_owned(), Value::String(flow.to_string()))]);
        labels.extend(new.labels);
        let row = DeploymentRow {
            id,
            created,
            updated: now,
            name: new.name,
            flow_id: flow,
            version: new.version,
            description: new.description,
            paused: new.paused,
            concurrency_limit: new.concurrency_limit.or(kept.as_ref().and_then(|row| row.concurrency_limit)),
            collision: new.collision.or(kept.as_ref().and_then(|row| row.collision)),
            grace_period_seconds: new.grace_period_seconds.or(kept.and_then(|row| row.grace_period_seconds)),
            job_variables: new.job_variables,
            parameters: new.parameters,
            tags: new.tags,
            labels,
            work_queue_id,
            path: new.path,
            pull_steps: new.pull_steps.filter(|steps| !steps.is_null()).unwrap_or_else(|| Value::Array(Vec::new())),
            entrypoint: new.entrypoint,
            storage_document_id: new.storage_document_id,
            enforce_parameter_schema: new.enforce_parameter_schema,
        };
        self.deployments.insert(id, row);
        Ok((id, is_new))
    }

    /// A deployment to be changed in place.
    pub(crate) fn deployment_mut(&mut self, id: DeploymentId) -> Result<&mut DeploymentRow, StoreError> {
        self.deployments.get_mut(&id).ok_or(StoreError::DeploymentNotFound)
    }

    pub(crate) fn delete_deployment(&mut self, id: DeploymentId, scheduled: ScheduledRuns) -> Result<(), StoreError> {
        self.deployments.remove(&id).ok_or(StoreError::DeploymentNotFound)?;
        self.leases.retain(|lease| lease.deployment_id != id);
        if scheduled == ScheduledRuns::Delete {
            self.runs.retain(|_, run| {
                run.deployment_id != Some(id)
                    || run.state_type() != Some(&StateType::Scheduled)
                    || run.state_name() == "AwaitingConcurrencySlot"
                    || run.run_count > 0
            });
        }
        Ok(())
    }
}

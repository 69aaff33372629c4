//! Work pools.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;
use worker_core::ids::{WorkPoolId, WorkQueueId};

use super::queues::NewQueue;
use super::{Change, StoreError, Tables};
use crate::api::model::Pool;

/// A pool to be made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewPool {
    /// Its name.
    pub name: String,
    /// Its type.
    pub pool_type: String,
    /// Its description.
    pub description: Option<String>,
    /// Its base job template.
    pub base_job_template: Map<String, Value>,
    /// Whether it begins paused.
    pub is_paused: bool,
    /// At most this many of its runs are Pending or Running.
    pub concurrency_limit: Option<u32>,
}

impl NewPool {
    /// A pool of a type, without a template.
    pub fn new(name: &str, pool_type: &str) -> Self {
        Self { name: name.to_owned(), pool_type: pool_type.to_owned(), ..Self::default() }
    }
}

/// A change of a pool.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PoolChange {
    pub(crate) description: Change<Option<String>>,
    pub(crate) base_job_template: Change<Map<String, Value>>,
    pub(crate) is_paused: Change<bool>,
    pub(crate) concurrency_limit: Change<Option<u32>>,
    pub(crate) storage_configuration: Change<Map<String, Value>>,
}

impl PoolChange {
    /// Whether connected workers are told.
    const fn concerns_workers(&self) -> bool {
        self.base_job_template.is_change()
            || self.is_paused.is_change()
            || self.concurrency_limit.is_change()
            || self.storage_configuration.is_change()
    }
}

/// Whether a name is the product's own.
pub(super) fn is_reserved(name: &str) -> bool {
    name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("prefect"))
}

impl Tables {
    pub(crate) fn create_pool(&mut self, new: NewPool, now: Timestamp) -> Result<WorkPoolId, StoreError> {
        if is_reserved(&new.name) {
            return Err(StoreError::PoolNameReserved);
        }
        if self.pool(&new.name).is_ok() {
            return Err(StoreError::PoolExists);
        }
        let id = WorkPoolId(Uuid::new_v4());
        let pool = Pool {
            id,
            created: now,
            updated: now,
            name: new.name.clone(),
            description: new.description,
            pool_type: new.pool_type,
            base_job_template: new.base_job_template,
            is_paused: new.is_paused,
            concurrency_limit: new.concurrency_limit,
            is_ready: false,
            default_queue_id: WorkQueueId(Uuid::nil()),
            storage_configuration: empty_storage(),
            revision: 0,
        };
        self.pools.insert(id, pool);
        let default = self.create_queue(&new.name, NewQueue::new("default"), now)?;
        if let Some(pool) = self.pools.get_mut(&id) {
            pool.default_queue_id = default;
        }
        Ok(id)
    }

    pub(crate) fn change_pool(&mut self, name: &str, change: PoolChange, now: Timestamp) -> Result<(), StoreError> {
        let id = self.pool(name)?.id;
        let Some(pool) = self.pools.get_mut(&id) else { return Ok(()) };
        pool.updated = now;
        pool.revision += u64::from(change.concerns_workers());
        change.description.apply(&mut pool.description);
        change.base_job_template.apply(&mut pool.base_job_template);
        change.is_paused.apply(&mut pool.is_paused);
        change.concurrency_limit.apply(&mut pool.concurrency_limit);
        change.storage_configuration.apply(&mut pool.storage_configuration);
        Ok(())
    }

    /// Deletes a pool with its queues and workers. Its runs stay, without a queue.
    pub(crate) fn delete_pool(&mut self, name: &str) -> Result<(), StoreError> {
        let id = self.pool(name)?.id;
        let queues: Vec<WorkQueueId> =
            self.queues.values().filter(|queue| queue.work_pool_id == id).map(|queue| queue.id).collect();
        for queue in queues {
            self.delete_queue(queue);
        }
        self.workers.retain(|worker| worker.work_pool_id != id);
        self.pools.remove(&id);
        Ok(())
    }

    /// How many runs of a pool are Pending or Running.
    pub fn active_slots(&self, pool: WorkPoolId) -> usize {
        let in_pool = |queue| self.queues.get(&queue).is_some_and(|queue| queue.work_pool_id == pool);
        self.runs.values().filter(|run| run.holds_slot() && run.work_queue_id.is_some_and(in_pool)).count()
    }
}

fn empty_storage() -> Map<String, Value> {
    ["bundle_upload_step", "bundle_execution_step", "default_result_storage_block_id"]
        .into_iter()
        .map(|key| (key.to_owned(), Value::Null))
        .collect()
}

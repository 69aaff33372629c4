//! The tables themselves, and how they are read.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;
use worker_core::ids::{BlockDocumentId, DeploymentId, FlowId, RunId, WorkPoolId, WorkQueueId};

use super::csrf::CsrfRow;
use super::error::StoreError;
use super::events::StoredEvent;
use super::observed::{Connections, RequestRecord, SocketRecord};
use crate::api::model::{
    BlockRow, Cleanup, DeploymentRow, FlowRow, Lease, LogRow, Pool, Queue, Run, VariableRow, WorkerRow,
};
use crate::api::options::ApiOptions;
use crate::api::rules::Ruleset;

/// All that the API knows.
pub struct Tables {
    pub(super) ruleset: Ruleset,
    pub(super) deployment_grace: Duration,
    pub(super) cleanup_lease: Duration,
    pub(super) cleanup_attempts: u32,
    pub(super) flows: BTreeMap<FlowId, FlowRow>,
    pub(super) deployments: BTreeMap<DeploymentId, DeploymentRow>,
    pub(super) runs: BTreeMap<RunId, Run>,
    pub(super) pools: BTreeMap<WorkPoolId, Pool>,
    pub(super) queues: BTreeMap<WorkQueueId, Queue>,
    pub(super) workers: Vec<WorkerRow>,
    pub(super) blocks: BTreeMap<BlockDocumentId, BlockRow>,
    pub(super) variables: BTreeMap<String, VariableRow>,
    pub(super) logs: Vec<LogRow>,
    pub(super) events: Vec<StoredEvent>,
    pub(super) event_ids: HashSet<Uuid>,
    pub(super) leases: Vec<Lease>,
    pub(super) cleanups: Vec<Cleanup>,
    pub(super) csrf: BTreeMap<String, CsrfRow>,
    pub(crate) task_runs: BTreeMap<Uuid, TaskRunRow>,
    pub(super) requests: Vec<RequestRecord>,
    pub(super) sockets: Vec<SocketRecord>,
    pub(super) connections: Connections,
}

/// A task run: stored and shown as the client sent it. Tasks orchestrate themselves; only the stand-ins of subflows are
/// made over the API.
pub(crate) struct TaskRunRow {
    pub(crate) created: Timestamp,
    pub(crate) fields: Map<String, Value>,
}

impl Tables {
    pub(super) fn new(options: &ApiOptions) -> Self {
        Self {
            ruleset: Ruleset::of(options.version),
            deployment_grace: options.deployment_grace,
            cleanup_lease: options.cleanup_lease,
            cleanup_attempts: options.cleanup_attempts,
            flows: BTreeMap::new(),
            deployments: BTreeMap::new(),
            runs: BTreeMap::new(),
            pools: BTreeMap::new(),
            queues: BTreeMap::new(),
            workers: Vec::new(),
            blocks: BTreeMap::new(),
            variables: BTreeMap::new(),
            logs: Vec::new(),
            events: Vec::new(),
            event_ids: HashSet::new(),
            leases: Vec::new(),
            cleanups: Vec::new(),
            csrf: BTreeMap::new(),
            task_runs: BTreeMap::new(),
            requests: Vec::new(),
            sockets: Vec::new(),
            connections: Connections::default(),
        }
    }

    /// A flow.
    pub fn flow(&self, id: FlowId) -> Result<&FlowRow, StoreError> {
        self.flows.get(&id).ok_or(StoreError::FlowNotFound)
    }

    /// All flows.
    pub fn flows(&self) -> impl Iterator<Item = &FlowRow> {
        self.flows.values()
    }

    /// A deployment.
    pub fn deployment(&self, id: DeploymentId) -> Result<&DeploymentRow, StoreError> {
        self.deployments.get(&id).ok_or(StoreError::DeploymentNotFound)
    }

    /// All deployments.
    pub fn deployments(&self) -> impl Iterator<Item = &DeploymentRow> {
        self.deployments.values()
    }

    /// A run.
    pub fn run(&self, id: RunId) -> Result<&Run, StoreError> {
        self.runs.get(&id).ok_or(StoreError::RunNotFound)
    }

    /// All runs.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        self.runs.values()
    }

    /// A pool.
    pub fn pool(&self, name: &str) -> Result<&Pool, StoreError> {
        self.pools.values().find(|pool| pool.name == name).ok_or_else(|| StoreError::PoolNotFound(name.to_owned()))
    }

    /// All pools.
    pub fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.pools.values()
    }

    /// A pool by its id.
    pub fn pool_by_id(&self, id: WorkPoolId) -> Option<&Pool> {
        self.pools.get(&id)
    }

    /// A queue by its id.
    pub fn queue_by_id(&self, id: WorkQueueId) -> Option<&Queue> {
        self.queues.get(&id)
    }

    /// A queue of a pool.
    pub fn queue(&self, pool: &str, name: &str) -> Result<&Queue, StoreError> {
        self.queues_of(pool)?
            .find(|queue| queue.name == name)
            .ok_or_else(|| StoreError::QueueNotFound { pool: pool.to_owned(), queue: name.to_owned() })
    }

    /// The queues of a pool.
    pub fn queues_of(&self, pool: &str) -> Result<impl Iterator<Item = &Queue>, StoreError> {
        let id = self.pool(pool)?.id;
        Ok(self.queues.values().filter(move |queue| queue.work_pool_id == id))
    }

    /// The workers of a pool.
    pub fn workers_of(&self, pool: &str) -> Result<impl Iterator<Item = &WorkerRow>, StoreError> {
        let id = self.pool(pool)?.id;
        Ok(self.workers.iter().filter(move |worker| worker.work_pool_id == id))
    }

    /// All log lines, in the order of arrival.
    pub fn logs(&self) -> &[LogRow] {
        &self.logs
    }

    /// The log lines of a run, in the order of arrival.
    pub fn logs_of(&self, run: RunId) -> impl Iterator<Item = &LogRow> {
        self.logs.iter().filter(move |line| line.flow_run_id == Some(run))
    }

    /// All events, in the order of arrival.
    pub fn events(&self) -> &[StoredEvent] {
        &self.events
    }

    /// The events of a name, in the order of arrival.
    pub fn events_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a StoredEvent> {
        self.events.iter().filter(move |stored| stored.event.event == name)
    }

    /// A clean-up.
    pub fn cleanup(&self, message: Uuid) -> Option<&Cleanup> {
        self.cleanups.iter().find(|cleanup| cleanup.message_id == message)
    }

    /// All HTTP requests, in the order of arrival.
    pub fn requests(&self) -> &[RequestRecord] {
        &self.requests
    }

    /// The requests of a method whose path, without `/api`, is this one.
    pub fn requests_to<'a>(&'a self, method: &'a str, path: &'a str) -> impl Iterator<Item = &'a RequestRecord> {
        self.requests.iter().filter(move |request| request.method == method && request.path == path)
    }

    /// All websockets that were opened, oldest first.
    pub fn sockets(&self) -> &[SocketRecord] {
        &self.sockets
    }

    /// How many TCP connections there have been.
    pub fn connections(&self) -> Connections {
        self.connections
    }
}

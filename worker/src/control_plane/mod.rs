//! What a run needs of the central API, and no more.
//!
//! The seam exists for the tests of the actor: they use one hand-written fake. Everything above the actor is tested
//! through the real client, because headers, retries and undecodable answers are where workers break.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use central_api_client::{ApiError, CallKind, Client, EventEmitter, LogShipper, Verdict};
use central_api_wire::block::{BlockDocument, Variable};
use central_api_wire::deployment::Deployment;
use central_api_wire::event::Event;
use central_api_wire::flow_run::{Flow, FlowRun, FlowRunUpdate, LabelsUpdate};
use central_api_wire::log::LogLine;
use central_api_wire::state::{SetStateRequest, State};
use central_api_wire::work_pool::WorkPool;
use tokio::time::Instant;
use worker_core::ids::{BlockDocumentId, DeploymentId, FlowId, InfraId, RunId};

pub use looks::Look;
use looks::Looks;
use shared_reads::SharedReads;

use crate::redaction::KnownSecrets;

mod looks;
mod shared_reads;

/// The central API as one run sees it. "Not found" is an answer, not an error, where a worker can go on without.
#[async_trait]
pub trait ControlPlane: fmt::Debug + Send + Sync + 'static {
    /// A deployment as it was at `since` or later; `None` if it was deleted.
    async fn deployment(&self, id: DeploymentId, since: Instant) -> Result<Option<Arc<Deployment>>, ApiError>;
    /// A flow as it was at `since` or later.
    async fn flow(&self, id: FlowId, since: Instant) -> Result<Arc<Flow>, ApiError>;
    /// A run as it is now; `None` if it was deleted.
    async fn flow_run(&self, id: RunId) -> Result<Option<FlowRun>, ApiError>;
    /// The states that a run has had, oldest first.
    async fn states(&self, id: RunId) -> Result<Vec<State>, ApiError>;
    /// A pool; `None` if it was deleted.
    async fn work_pool(&self, name: &str) -> Result<Option<WorkPool>, ApiError>;
    /// A block with its secrets as it was at `since` or later; `None` if there is none.
    async fn block_by_id(&self, id: BlockDocumentId, since: Instant) -> Result<Option<BlockDocument>, ApiError>;
    /// A block with its secrets as it was at `since` or later; `None` if there is none.
    async fn block_by_name(&self, slug: &str, name: &str, since: Instant) -> Result<Option<BlockDocument>, ApiError>;
    /// A variable as it was at `since` or later; `None` if there is none.
    async fn variable(&self, name: &str, since: Instant) -> Result<Option<Variable>, ApiError>;
    /// How a run is now, asked together with others; `None` if the API does not say.
    async fn look(&self, run: RunId) -> Option<Look>;
    /// Proposes Pending for a run that is not ours yet.
    async fn claim(&self, run: RunId, request: &SetStateRequest) -> Result<Verdict, ApiError>;
    /// Proposes a state.
    async fn propose(&self, run: RunId, request: &SetStateRequest, kind: CallKind) -> Result<Verdict, ApiError>;
    /// Stores the infrastructure's id.
    async fn set_infra_id(&self, run: RunId, id: &InfraId) -> Result<(), ApiError>;
    /// Merges labels into the run's.
    async fn set_labels(&self, run: RunId, labels: &LabelsUpdate) -> Result<(), ApiError>;
    /// Queues a line of the run's log. Never waits.
    fn log(&self, line: LogLine);
    /// Waits, for a bounded time, until the run's queued lines were delivered.
    async fn flush_logs(&self, run: RunId);
    /// Queues an event. Never waits.
    fn emit(&self, event: Event);
}

/// The real API.
#[derive(Clone, Debug)]
pub struct RemoteControlPlane {
    client: Client,
    logs: LogShipper,
    events: EventEmitter,
    secrets: KnownSecrets,
    together: Arc<Together>,
}

/// What the runs of all pools at an API ask together.
#[derive(Debug, Default)]
pub struct Together {
    deployments: SharedReads<DeploymentId, Option<Arc<Deployment>>>,
    flows: SharedReads<FlowId, Arc<Flow>>,
    blocks: SharedReads<BlockDocumentId, Option<BlockDocument>>,
    named_blocks: SharedReads<(String, String), Option<BlockDocument>>,
    variables: SharedReads<String, Option<Variable>>,
    looks: Looks,
}

impl RemoteControlPlane {
    /// Joins the three ways to the API. The client is the one attributed to the run's worker. What is told loses the secrets.
    pub const fn new(
        client: Client,
        logs: LogShipper,
        events: EventEmitter,
        secrets: KnownSecrets,
        together: Arc<Together>,
    ) -> Self {
        Self { client, logs, events, secrets, together }
    }
}

fn found<T>(answer: Result<T, ApiError>) -> Result<Option<T>, ApiError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

#[async_trait]
impl ControlPlane for RemoteControlPlane {
    async fn deployment(&self, id: DeploymentId, since: Instant) -> Result<Option<Arc<Deployment>>, ApiError> {
        let read = || async { Ok(found(self.client.deployment(id).await)?.map(Arc::new)) };
        self.together.deployments.get(id, since, read).await
    }

    async fn flow(&self, id: FlowId, since: Instant) -> Result<Arc<Flow>, ApiError> {
        self.together.flows.get(id, since, || async { self.client.flow(id).await.map(Arc::new) }).await
    }

    async fn flow_run(&self, id: RunId) -> Result<Option<FlowRun>, ApiError> {
        found(self.client.flow_run(id).await)
    }

    async fn states(&self, id: RunId) -> Result<Vec<State>, ApiError> {
        self.client.flow_run_states(id).await
    }

    async fn work_pool(&self, name: &str) -> Result<Option<WorkPool>, ApiError> {
        found(self.client.work_pool(name).await)
    }

    async fn block_by_id(&self, id: BlockDocumentId, since: Instant) -> Result<Option<BlockDocument>, ApiError> {
        self.together.blocks.get(id, since, || async { found(self.client.block_by_id(id).await) }).await
    }

    async fn block_by_name(&self, slug: &str, name: &str, since: Instant) -> Result<Option<BlockDocument>, ApiError> {
        let key = (slug.to_owned(), name.to_owned());
        let read = || async { found(self.client.block_by_name(slug, name).await) };
        self.together.named_blocks.get(key, since, read).await
    }

    async fn variable(&self, name: &str, since: Instant) -> Result<Option<Variable>, ApiError> {
        self.together.variables.get(name.to_owned(), since, || self.client.variable(name)).await
    }

    async fn look(&self, run: RunId) -> Option<Look> {
        self.together.looks.look(&self.client.for_claims(), run).await
    }

    async fn claim(&self, run: RunId, request: &SetStateRequest) -> Result<Verdict, ApiError> {
        self.client.for_claims().set_state(run, request, CallKind::Claim).await
    }

    async fn propose(&self, run: RunId, request: &SetStateRequest, kind: CallKind) -> Result<Verdict, ApiError> {
        let mut request = request.clone();
        request.state.message = request.state.message.map(|message| self.secrets.redact(message));
        self.client.set_state(run, &request, kind).await
    }

    async fn set_infra_id(&self, run: RunId, id: &InfraId) -> Result<(), ApiError> {
        self.client.update_flow_run(run, &FlowRunUpdate { infrastructure_pid: Some(id.0.clone()) }).await
    }

    async fn set_labels(&self, run: RunId, labels: &LabelsUpdate) -> Result<(), ApiError> {
        // A label is for people; one that consists of secrets is for nobody.
        let labels = self.secrets.redact_json(labels.clone()).unwrap_or_default();
        self.client.update_labels(run, &labels).await
    }

    fn log(&self, line: LogLine) {
        let message = self.secrets.redact(line.message);
        self.logs.log(LogLine { message, ..line });
    }

    async fn flush_logs(&self, run: RunId) {
        self.logs.flush_run(run).await;
    }

    fn emit(&self, event: Event) {
        if let Some(event) = self.secrets.redact_json(event) {
            self.events.emit(event);
        } else {
            tracing::warn!("an event is not told, because a secret is where nothing can stand in its place");
        }
    }
}

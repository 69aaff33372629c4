//! Opening a pool: asking its API what it is.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tracing::Instrument as _;

use super::Daemon;
use super::pool_worker::PoolWorker;
use crate::operator::PlannedPool;
use crate::preflight::{Opening, Preflight, PreflightError};

/// Pools that are being asked about, all at once: one that the API is too busy for keeps nobody waiting.
pub(super) type Openings = FuturesUnordered<BoxFuture<'static, Opened>>;

/// What asking about one pool came to.
pub(super) struct Opened {
    pub(super) planned: PlannedPool,
    pub(super) opening: Result<Opening, PreflightError>,
}

impl Daemon {
    pub(super) fn opening(&self, planned: &PlannedPool) -> BoxFuture<'static, Opened> {
        let planned = planned.clone();
        // Plans name the workspaces that there are.
        let Some(workspace) = self.workspace(planned.plan.workspace) else { return Box::pin(std::future::pending()) };
        let version = workspace.version();
        let preflight = Preflight {
            client: workspace.resources.client.clone(),
            pool: planned.plan.pool.clone(),
            work_queues: planned.plan.work_queues.clone(),
            kind: planned.plan.kind.clone(),
            wait_for_api: workspace.wait_for_api,
            api_is_right: Arc::clone(&workspace.api_is_right),
        };
        let asked = async move {
            // A server that no worker of ours can serve is known before the first run is taken from it.
            let (version, opening) = ticking(&planned, async { tokio::join!(version.check(), preflight.ask()) }).await;
            Opened { opening: version.and(opening), planned }
        };
        Box::pin(asked.instrument(workspace.span()))
    }

    pub(super) fn pool_worker(&self, planned: &PlannedPool, opening: Opening) -> Result<PoolWorker, PreflightError> {
        let Opening { kind, pool } = opening;
        let workspace = self.workspace(planned.plan.workspace);
        let registered = workspace.and_then(|workspace| Some((workspace, workspace.registry.plugin(&kind)?)));
        let Some((workspace, registered)) = registered else {
            return Err(PreflightError::UnknownKind { pool: planned.plan.pool.clone(), kind: kind.to_string() });
        };
        // What is served already keeps the name that was made up for it.
        let before = self.served.iter().find(|served| served.index() == planned.index);
        let name = before.map(|served| served.pool.settings.worker_name.clone());
        Ok(PoolWorker::new(planned, name, pool, registered, workspace, &self.shared))
    }
}

/// Waits for an answer that may take its time, and is not taken for a poller that hangs meanwhile.
async fn ticking<T>(pool: &PlannedPool, asked: impl Future<Output = T>) -> T {
    tokio::pin!(asked);
    loop {
        tokio::select! {
            answer = &mut asked => return answer,
            () = tokio::time::sleep(pool.plan.query_interval) => pool.last_poll.tick(),
        }
    }
}

//! Keeping the pool known and the worker alive in the eyes of the server.

use std::sync::Arc;
use std::time::Duration;

use central_api_client::{ApiError, Client};
use central_api_wire::work_pool::{Heartbeat, WorkPool, WorkPoolCreate, WorkPoolUpdate};
use tokio_util::sync::CancellationToken;

use super::{ChannelHealth, PoolSettings, PoolView, Trouble, pace};
use crate::liveness::Pulse;
use crate::run::WorkerIdentity;

/// How long the first sync waits for the worker channel, which makes it unnecessary.
const CHANNEL_FIRST: Duration = Duration::from_secs(1);
/// Up to six calls, each given up by the client after half a minute, and some room.
const LONGEST_SYNC: Duration = Duration::from_secs(200);

/// The sync loop of one pool worker.
pub struct SyncLoop {
    /// The API, attributed to this worker.
    pub client: Client,
    /// The settings.
    pub settings: Arc<PoolSettings>,
    /// Who this worker is.
    pub identity: Arc<WorkerIdentity>,
    /// What it keeps up to date.
    pub view: PoolView,
    /// Whether the channel does its work.
    pub channel: ChannelHealth,
    /// That the loop turns.
    pub pulse: Pulse,
}

impl SyncLoop {
    /// Syncs until told to stop. While the channel is healthy there is nothing to do.
    pub async fn run(self, stop: CancellationToken) {
        let mut trouble = Trouble::new("sync the work pool with the API");
        let mut missing = MissingPool::default();
        // Where the channel works it delivers the pool sooner than a read would.
        drop(tokio::time::timeout(CHANNEL_FIRST, self.channel.tried()).await);
        loop {
            let mut pause = pace::jittered(self.settings.heartbeat_interval);
            if !self.channel.is_healthy() {
                match self.pulse.during(LONGEST_SYNC, self.once()).await {
                    Ok(known) => {
                        trouble.worked();
                        missing.note(&self.settings.pool, known);
                    }
                    Err(error) => {
                        let failures = trouble.failed(&error);
                        pause = pace::after_failure(failures, self.settings.heartbeat_interval, error.retry_after());
                    }
                }
            }
            let sleep = async {
                if self.channel.is_healthy() {
                    self.channel.lost().await;
                } else {
                    tokio::time::sleep(pause).await;
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.pulse.idle(sleep) => {}
            }
        }
    }

    /// One sync over REST: the pool, then the heartbeat. Whether the pool exists.
    ///
    /// # Errors
    /// What the API answered, or that it did not.
    pub async fn once(&self) -> Result<bool, ApiError> {
        let begun = self.view.read_begins();
        let pool = self.read_or_create().await?;
        let known = pool.is_some();
        if self.view.pool().is_none() && known {
            // Runs are asked for once the pool is known: not before the server knows this worker.
            self.heartbeat().await?;
            self.view.read_ended(begun, pool);
        } else {
            self.view.read_ended(begun, pool);
            if known {
                self.heartbeat().await?;
            }
        }
        Ok(known)
    }

    async fn read_or_create(&self) -> Result<Option<WorkPool>, ApiError> {
        let name = &self.settings.pool;
        let pool = match self.client.work_pool(name).await {
            Ok(pool) => pool,
            Err(error) if error.is_not_found() && self.settings.create_pool_if_not_found => self.create().await?,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        self.with_template(pool).await.map(Some)
    }

    async fn create(&self) -> Result<WorkPool, ApiError> {
        let name = &self.settings.pool;
        let request = WorkPoolCreate {
            name: name.clone(),
            pool_type: self.settings.kind.to_string(),
            base_job_template: self.settings.base_job_template_given.then(|| self.settings.base_job_template.clone()),
        };
        match self.client.create_work_pool(&request).await {
            Ok(pool) => {
                tracing::info!("Work pool '{name}' created.");
                Ok(pool)
            }
            // Somebody else was faster.
            Err(error) if error.status() == Some(409) => self.client.work_pool(name).await,
            Err(error) => Err(error),
        }
    }

    /// Fills the template of a pool that has none. A pool that has one is never changed.
    async fn with_template(&self, mut pool: WorkPool) -> Result<WorkPool, ApiError> {
        if pool.base_job_template.is_empty() {
            let template = self.settings.base_job_template.clone();
            let update = WorkPoolUpdate { base_job_template: Some(template.clone()) };
            self.client.update_work_pool(&self.settings.pool, &update).await?;
            pool.base_job_template = template;
        }
        Ok(pool)
    }

    async fn heartbeat(&self) -> Result<(), ApiError> {
        let ask_for_id = self.client.is_cloud() && self.identity.id.get().is_none();
        let mut heartbeat = Heartbeat {
            name: self.settings.worker_name.clone(),
            heartbeat_interval_seconds: Some(self.settings.heartbeat_seconds()),
            return_id: ask_for_id.then_some(true),
            metadata: None,
        };
        let answer = match self.client.heartbeat(&self.settings.pool, &heartbeat).await {
            Err(error) if ask_for_id && error.status() == Some(422) => {
                tracing::warn!("the API gives no worker ids; the worker goes on without one");
                heartbeat.return_id = None;
                self.client.heartbeat(&self.settings.pool, &heartbeat).await
            }
            answer => answer,
        };
        if let Some(id) = answer? {
            self.client.set_worker_id(id);
            if self.identity.id.set(id).is_ok() {
                tracing::info!(%id, "the API knows this worker");
            }
        }
        Ok(())
    }
}

/// Says once that the pool is missing, and once that it appeared.
#[derive(Default)]
struct MissingPool {
    said: bool,
}

impl MissingPool {
    fn note(&mut self, pool: &str, known: bool) {
        if known {
            self.said = false;
        } else if !self.said {
            tracing::warn!("Work pool '{pool}' not found! The worker waits until it is made.");
            self.said = true;
        }
    }
}

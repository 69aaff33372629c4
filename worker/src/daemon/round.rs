//! The one round of `--run-once`.

use std::time::Duration;

use central_api_client::ApiError;

use super::pool_worker::PoolWorker;
use super::{Daemon, Served};
use crate::pool::pace;
use crate::run::ErrorChain;
use crate::start_error::StartError;

/// Tries of one call in a single round, besides the last.
const ROUND_TRIES: u32 = 4;

impl Daemon {
    /// One sync and one poll per pool, one after the other, and then the end of the runs. For ever without `--run-once`.
    pub(super) async fn round(&self) -> Result<(), StartError> {
        if !self.run_once {
            std::future::pending::<()>().await;
        }
        let mut first_error = None;
        for workspace in &self.workspaces {
            drop(workspace.first_pass.subscribe().wait_for(|done| *done).await);
        }
        for Served { pool, .. } in &self.served {
            if let Err(source) = self.poll_once(pool).await {
                let error = StartError::RunOnce { pool: pool.settings.pool.clone(), source };
                tracing::error!("{}", error.for_people());
                first_error.get_or_insert(error);
            }
        }
        for Served { pool, .. } in &self.served {
            self.shared.live.until_empty(pool.dispatcher.pool).await;
        }
        first_error.map_or(Ok(()), Err)
    }

    async fn poll_once(&self, pool: &PoolWorker) -> Result<(), ApiError> {
        let (sync, poller) = (pool.sync(), pool.poller());
        if a_few_times(|| sync.once()).await? {
            pool.spawn_observer(&self.loops, &self.stop);
            return a_few_times(|| poller.poll_and_dispatch()).await;
        }
        tracing::warn!("Work pool '{}' not found!", pool.settings.pool);
        Ok(())
    }
}

/// A loop's call is tried once, because the loop is the retry. A single round has no loop around it.
async fn a_few_times<T, F: Future<Output = Result<T, ApiError>>>(mut call: impl FnMut() -> F) -> Result<T, ApiError> {
    for failures in 1..=ROUND_TRIES {
        match call().await {
            Err(error) if error.is_transient() => {
                tracing::warn!("the API did not answer, asking again: {}", ErrorChain(&error));
                tokio::time::sleep(pace::after_failure(failures, Duration::from_secs(10), error.retry_after())).await;
            }
            answer => return answer,
        }
    }
    call().await
}

//! The two-phase stop.
//!
//! First everything that could bring new work ends, and runs are told to stop; then, when the runs are over or their time
//! is, what they still had to say to the API is delivered. A second signal takes the grace away.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use worker_core::machine::{Input, StopReason};

use super::Daemon;
use crate::console;
use crate::signals::StopSignals;

/// What is still queued for the API gets this long at the end.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// On top of the grace: killing, reporting, cleaning up.
const AFTER_GRACE: Duration = Duration::from_secs(10);
/// After a second signal.
const HURRY: Duration = Duration::from_secs(2);

/// The tasks that carry log lines and events to the API.
pub(super) struct Delivery {
    stop: CancellationToken,
    tasks: [JoinHandle<()>; 2],
}

impl Delivery {
    pub(super) const fn new(stop: CancellationToken, tasks: [JoinHandle<()>; 2]) -> Self {
        Self { stop, tasks }
    }

    /// Lets them deliver what is queued, and waits for that.
    async fn finish(self) {
        self.stop.cancel();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!("a delivery task ended badly: {error}");
            }
        }
    }
}

impl Daemon {
    /// Stops everything, in order and within a bounded time.
    pub(super) async fn stop(self, signals: &mut StopSignals) {
        self.stop.cancel();
        self.loops.close();
        self.shared.actors.close();
        self.stop_runs(signals).await;
        for (pool, started) in &self.pools {
            self.shared.events.emit(pool.lifecycle_event("stopped", Some(started)));
        }
        let names: Vec<String> = self.pools.iter().map(|(pool, _)| pool.settings.worker_name.clone()).collect();
        tokio::select! {
            () = self.last_words() => {}
            signal = signals.next() => tracing::warn!("Received {signal} again. Leaving at once."),
        }
        for name in names {
            console::line(&format!("Worker '{name}' stopped!"));
        }
    }

    /// Stops the runs that would die with this process, and leaves those that would not.
    async fn stop_runs(&self, signals: &mut StopSignals) {
        let live = &self.shared.live;
        live.close();
        for (pool, _) in &self.pools {
            let input = if pool.runs_survive() { Input::Detach } else { Input::Stop(StopReason::Shutdown) };
            for run in live.ids(pool.dispatcher.pool) {
                live.tell(pool.dispatcher.pool, run, input.clone());
            }
        }
        let grace = self.shared.run_settings.shutdown_grace;
        if live.total() > 0 {
            tracing::info!("stopping {} runs; they have {grace:?} to end by themselves", live.total());
        }
        tokio::select! {
            () = self.shared.actors.wait() => return,
            () = tokio::time::sleep(grace + AFTER_GRACE) => {}
            signal = signals.next() => tracing::warn!("Received {signal} again. Stopping at once."),
        }
        live.tell_all(&Input::StopNow);
        if tokio::time::timeout(HURRY, self.shared.actors.wait()).await.is_err() {
            tracing::error!("{} runs did not end in time; their states at the API may be wrong", live.total());
        }
    }

    async fn last_words(self) {
        let last = async { tokio::join!(self.delivery.finish(), self.loops.wait()) };
        if tokio::time::timeout(LAST_WORDS, last).await.is_err() {
            tracing::warn!("the last log lines or events may not have reached the API");
        }
    }
}

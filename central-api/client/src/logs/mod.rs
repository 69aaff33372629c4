//! Shipping of run logs.

mod line;
mod queue;
mod shipping;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use central_api_wire::log::LogLine;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use worker_core::ids::RunId;

use crate::client::Client;
use crate::delivery::Progress;
use queue::Queue;

/// How long [`LogShipper::flush_run`] waits.
const RUN_FLUSH: Duration = Duration::from_secs(5);
/// Prefect Cloud takes no longer lines.
const CLOUD_LINE: usize = 25_000;

/// Ships the lines of run logs to the API, in batches and in order.
///
/// Lines wait in a bounded queue (20 000 lines, 32 MiB). While the API does not take them they stay there; when the queue is full, further ones
/// are lost, counted, and told of by a line in the log of their run and by a warning in our own.
///
/// Cheap to clone; all clones feed one task.
#[derive(Clone)]
pub struct LogShipper(Option<Arc<Shared>>);

struct Shared {
    queue: Mutex<Queue>,
    wake: Notify,
    progress: Progress,
    longest_line: usize,
    is_cloud: bool,
}

impl Shared {
    /// Poison is no concern: no method of the queue panics half-way.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogShipper {
    /// Spawns the task that ships. It ends once `stop` is cancelled and everything was delivered, or 5 s after `stop`;
    /// what is left then is counted in a warning. Whoever starts it waits for the handle.
    ///
    /// If the settings turn shipping off, nothing is shipped and the task ends at once.
    pub fn start(client: Client, stop: CancellationToken) -> (Self, JoinHandle<()>) {
        let settings = client.log_settings().clone();
        if !settings.enabled {
            return (Self(None), tokio::spawn(async {}));
        }
        let is_cloud = client.is_cloud();
        let longest_line = if is_cloud { settings.max_log_size.min(CLOUD_LINE) } else { settings.max_log_size };
        let batch = settings.batch_size.saturating_sub(longest_line).max(longest_line);
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue::new(batch, settings.batch_interval)),
            wake: Notify::new(),
            progress: Progress::new(),
            longest_line,
            is_cloud,
        });
        let task = tokio::spawn(shipping::ship(client, Arc::clone(&shared), stop));
        (Self(Some(shared)), task)
    }

    /// Queues a line. Never waits.
    pub fn log(&self, mut line: LogLine) {
        let Some(shared) = &self.0 else { return };
        if !shared.is_cloud {
            // A self-hosted server refuses the whole batch for it.
            line.worker_id = None;
        }
        let run = line.flow_run_id;
        match line::encode(line, shared.longest_line) {
            Ok(json) => {
                if shared.queue().push(run, json, Instant::now()) {
                    shared.wake.notify_one();
                }
            }
            Err(error) => tracing::warn!(%error, "a log line could not be encoded and is lost"),
        }
    }

    /// Waits until every line that was queued before was delivered or given up. False if that takes longer than `limit`.
    pub async fn flush(&self, limit: Duration) -> bool {
        let Some(shared) = &self.0 else { return true };
        let last = shared.queue().flush_all();
        shared.wake.notify_one();
        shared.progress.reaches(last, limit).await
    }

    /// As [`flush`](Self::flush), for the lines of one run, and for 5 s at most. Does not wait while deliveries fail: an
    /// API that takes no logs must not hold up the end of every run.
    pub async fn flush_run(&self, run: RunId) -> bool {
        let Some(shared) = &self.0 else { return true };
        let last = shared.queue().flush_run(run);
        shared.wake.notify_one();
        shared.progress.reaches_unless_failing(last, RUN_FLUSH).await
    }
}

impl fmt::Debug for LogShipper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogShipper").field("enabled", &self.0.is_some()).finish_non_exhaustive()
    }
}

//! Shipping of run logs.

mod line;
mod queue;
mod shipping;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use central_api_wire::log::LogLine;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use worker_core::ids::RunId;

use crate::client::Client;
use crate::delivery::{Feed, Moves};
use crate::spool::Spool;
use queue::{Due, Queue};

/// How long [`LogShipper::flush_run`] waits.
const RUN_FLUSH: Duration = Duration::from_secs(5);
/// Prefect Cloud takes no longer lines.
const CLOUD_LINE: usize = 25_000;

/// Ships the lines of run logs to the API, in batches and in order.
///
/// Lines wait in a bounded queue (20 000 lines, 32 MiB). While the API does not take them they go on to a [`Spool`], where
/// they outlive the process, and of which the oldest are dropped when it is full. Without one they stay in the queue; when
/// that is full, further ones are lost. What is lost is counted, and told of by a line in the log of its run and by a
/// warning in our own.
///
/// Cheap to clone; all clones feed one task.
#[derive(Clone)]
pub struct LogShipper(Option<Arc<Shared>>);

struct Shared {
    feed: Arc<Feed<Queue>>,
    longest_line: usize,
    is_cloud: bool,
}

impl LogShipper {
    /// Spawns the task that ships. It ends once `stop` is cancelled and everything was delivered, or is in the spool while
    /// the API does not take it, or 3 s after `stop`; what is left then goes to the spool, or is counted in a warning. Whoever
    /// starts it waits for the handle.
    ///
    /// What is in the spool already is delivered first. If the settings turn shipping off, nothing is shipped and the task
    /// ends at once.
    pub fn start(client: Client, stop: CancellationToken, spool: Option<Spool>) -> (Self, JoinHandle<()>) {
        let settings = client.log_settings().clone();
        if !settings.enabled {
            return (Self(None), tokio::spawn(async {}));
        }
        let is_cloud = client.is_cloud();
        let longest_line = if is_cloud { settings.max_log_size.min(CLOUD_LINE) } else { settings.max_log_size };
        let batch = settings.batch_size.saturating_sub(longest_line).max(longest_line);
        let spooled = spool.as_ref().map_or(0, Spool::lines);
        let feed = Arc::new(Feed::new(Queue::new(batch, settings.batch_interval, spooled)));
        let task = tokio::spawn(shipping::ship(client, Arc::clone(&feed), spool, stop));
        (Self(Some(Arc::new(Shared { feed, longest_line, is_cloud }))), task)
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
                if shared.feed.queue().push(run, json, Instant::now()) {
                    shared.feed.wake.notify_one();
                }
            }
            Err(error) => tracing::warn!(%error, "a log line could not be encoded and is lost"),
        }
    }

    /// How the delivery is.
    pub fn moves(&self) -> Moves {
        let Some(shared) = &self.0 else { return Moves { waits: false, count: 0 } };
        let waits = !matches!(shared.feed.queue().due(), Due::Never);
        Moves { waits, count: shared.feed.progress.moves() }
    }

    /// Waits until every line that was queued before was delivered or given up. False if that takes longer than `limit`.
    pub async fn flush(&self, limit: Duration) -> bool {
        let Some(shared) = &self.0 else { return true };
        let last = shared.feed.queue().flush_all();
        shared.feed.wake.notify_one();
        shared.feed.progress.reaches(last, limit).await
    }

    /// As [`flush`](Self::flush), for the lines of one run, and for 5 s at most. Does not wait while deliveries fail: an
    /// API that takes no logs must not hold up the end of every run.
    pub async fn flush_run(&self, run: RunId) -> bool {
        let Some(shared) = &self.0 else { return true };
        let last = shared.feed.queue().flush_run(run);
        shared.feed.wake.notify_one();
        shared.feed.progress.reaches_unless_failing(last, RUN_FLUSH).await
    }
}

impl fmt::Debug for LogShipper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogShipper").field("enabled", &self.0.is_some()).finish_non_exhaustive()
    }
}

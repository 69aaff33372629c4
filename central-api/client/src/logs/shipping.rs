//! The task that ships log lines.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::queue::{Due, Queue};
use crate::backoff::{Backoff, at_least};
use crate::client::Client;
use crate::delivery::{Feed, Outage, pause, too_late};
use crate::error::ApiError;
use crate::spool::{Spool, Spooling};

const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Refusals in a row after which the lines are not at fault, but the API: no queue takes so many halvings.
const MOST_HALVINGS: u32 = 20;

/// Ships until the stop, and then what is left, for a bounded time.
pub(super) async fn ship(client: Client, feed: Arc<Feed<Queue>>, spool: Option<Spool>, stop: CancellationToken) {
    let mut shipping = Shipping {
        backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE, client.shared.retry.jitter_factor),
        client,
        spooling: Spooling::new(Arc::clone(&feed), spool),
        feed: Arc::clone(&feed),
        stop: stop.clone(),
        most_lines: usize::MAX,
        refusals: 0,
        outage: Outage::new("log lines"),
    };
    tokio::select! {
        () = shipping.run() => {}
        () = too_late(&stop) => {}
    }
    feed.queue().close(Instant::now());
    shipping.spooling.finish().await;
    let lost = feed.queue().abandon();
    if lost > 0 {
        tracing::warn!(lost, "log lines were lost because the worker ends and the API did not take them");
    }
    feed.progress.end();
}

struct Shipping {
    client: Client,
    feed: Arc<Feed<Queue>>,
    spooling: Spooling<Queue>,
    stop: CancellationToken,
    backoff: Backoff,
    /// Lines of the next batch. The API refuses a whole batch for one line, so after a refusal batches are halved until
    /// the line is alone; every success doubles them again.
    most_lines: usize,
    refusals: u32,
    outage: Outage,
}

impl Shipping {
    /// Ends when the stop has come and nothing waits, or all of it on disk while the API does not take it.
    async fn run(&mut self) {
        while self.wait_until_due().await {
            self.spooling.keep_up().await;
            let batch = self.feed.queue().batch(self.most_lines);
            let Some((lines, body)) = batch else { continue };
            match self.spooling.meanwhile(self.client.create_logs(body.into())).await {
                Ok(()) => self.delivered(lines).await,
                Err(error) if is_about_content(&error) => self.refused(lines, &error).await,
                Err(error) => {
                    self.outage.failed(&error);
                    self.feed.progress.set_failing(true);
                    let usual = self.backoff.next_delay();
                    let jitter = self.client.shared.retry.jitter_factor;
                    let delay = error.retry_after().map_or(usual, |minimum| at_least(minimum, jitter));
                    self.spooling.keep_up().await;
                    if self.stop.is_cancelled() && self.spooling.holds_everything() {
                        return;
                    }
                    self.spooling.meanwhile(pause(delay, &self.stop)).await;
                }
            }
        }
    }

    /// True when a batch is due; false when there will never be one.
    async fn wait_until_due(&self) -> bool {
        loop {
            let stopping = self.stop.is_cancelled();
            let due = self.feed.queue().due();
            let at = match due {
                Due::Now => return true,
                Due::At(_) if stopping => return true,
                Due::Never if stopping => return false,
                Due::At(at) => Some(at),
                Due::Never => None,
            };
            tokio::select! {
                () = sleep_until(at.unwrap_or_else(Instant::now)), if at.is_some() => {}
                () = self.feed.wake.notified() => {}
                () = self.stop.cancelled() => {}
            }
            if at.is_some_and(|at| at <= Instant::now()) {
                return true;
            }
        }
    }

    async fn delivered(&mut self, lines: usize) {
        self.outage.over();
        self.feed.progress.set_failing(false);
        self.backoff.reset();
        self.refusals = 0;
        self.most_lines = self.most_lines.saturating_mul(2);
        let settled = self.feed.queue().delivered(lines, Instant::now());
        self.feed.progress.settle(settled);
        self.spooling.keep_up().await;
    }

    async fn refused(&mut self, lines: usize, error: &ApiError) {
        self.refusals += 1;
        self.feed.progress.set_failing(false);
        if lines > 1 && self.refusals < MOST_HALVINGS {
            self.most_lines = lines / 2;
            return;
        }
        tracing::warn!(lines, %error, "the API does not take these log lines");
        if self.refusals >= MOST_HALVINGS {
            // Line by line would be one request each, for as long as the API is like that.
            self.most_lines = usize::MAX;
        }
        let settled = self.feed.queue().refused(lines, Instant::now());
        self.feed.progress.settle(settled);
        self.spooling.keep_up().await;
    }
}

/// Whether the API complains of what is in the batch, so that the same batch will never be taken.
const fn is_about_content(error: &ApiError) -> bool {
    matches!(error, ApiError::Refused { status: 400 | 413 | 422, .. })
}

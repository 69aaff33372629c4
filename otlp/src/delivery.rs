//! The queue of spans, and the task that empties it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::exporter::{ExportError, Exporter};
use crate::span::Span;

/// So many spans wait at most. A run has about ten.
const MOST_WAITING: usize = 2048;
/// So many go with one request.
const MOST_AT_ONCE: usize = 512;
/// How long the first span of a batch waits for others.
const GATHERED_FOR: Duration = Duration::from_secs(2);
/// Pauses between the tries of a batch. One that is not taken after the last is given up: newer ones are worth more.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(10)];
/// However long a collector wants to be left alone.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long what is left at the end may take.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Counts what becomes of spans.
pub trait Tally: Send + Sync {
    /// The collector has them.
    fn exported(&self, spans: u64);
    /// The collector would not have them.
    fn rejected(&self, spans: u64);
    /// They did not fit into the queue, or the collector was away for too long.
    fn dropped(&self, spans: u64);
}

/// Takes spans, and never waits. Clones share the queue.
#[derive(Clone)]
pub struct SpanSender {
    queue: mpsc::Sender<Span>,
    tally: Arc<dyn Tally>,
}

impl fmt::Debug for SpanSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpanSender").finish_non_exhaustive()
    }
}

impl SpanSender {
    /// Sends a span off, if its trace is recorded.
    pub fn send(&self, span: Span) {
        if !span.context.is_sampled {
            return;
        }
        match self.queue.try_send(span) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => self.tally.dropped(1),
        }
    }
}

/// Starts the task that sends spans off. `stop` has it send what is left, within a bounded time, and end.
pub fn start(exporter: Exporter, tally: Arc<dyn Tally>, stop: CancellationToken) -> (SpanSender, JoinHandle<()>) {
    let (sender, queue) = mpsc::channel(MOST_WAITING);
    let delivery = Delivery { exporter, queue, tally: Arc::clone(&tally), stop, trouble: Trouble::default() };
    (SpanSender { queue: sender, tally }, tokio::spawn(delivery.run()))
}

struct Delivery {
    exporter: Exporter,
    queue: mpsc::Receiver<Span>,
    tally: Arc<dyn Tally>,
    stop: CancellationToken,
    trouble: Trouble,
}

impl Delivery {
    async fn run(mut self) {
        let mut batch = Vec::new();
        while self.gather(&mut batch).await {
            let spans = std::mem::take(&mut batch);
            if let Some(left) = self.deliver(spans).await {
                batch = left;
                break;
            }
        }
        self.finish(batch).await;
    }

    /// Waits for spans, and a little longer for more. False at the end.
    async fn gather(&mut self, batch: &mut Vec<Span>) -> bool {
        let mut until = None;
        while batch.len() < MOST_AT_ONCE {
            let room = MOST_AT_ONCE - batch.len();
            let more = async {
                match until {
                    None => Some(self.queue.recv_many(batch, room).await),
                    Some(until) => timeout_at(until, self.queue.recv_many(batch, room)).await.ok(),
                }
            };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return false,
                more = more => match more {
                    // Nobody is left who could send.
                    Some(0) => return false,
                    Some(_) => until = Some(until.unwrap_or_else(|| Instant::now() + GATHERED_FOR)),
                    None => return true,
                },
            }
        }
        true
    }

    /// Sends a batch until it is taken or given up. What is to be sent in the last moment is returned.
    async fn deliver(&mut self, mut batch: Vec<Span>) -> Option<Vec<Span>> {
        self.exporter.redact(&mut batch);
        let mut pauses = PAUSES.into_iter();
        loop {
            let (exporter, stop) = (&self.exporter, &self.stop);
            let sent = tokio::select! {
                biased;
                () = stop.cancelled() => return Some(batch),
                sent = exporter.send(&batch) => sent,
            };
            let Some(error) = self.settle(&batch, sent) else { return None };
            let pause = pauses.next().filter(|_| error.is_transient());
            let Some(pause) = pause else {
                self.give_up(count(&batch), &error);
                return None;
            };
            let pause = error.retry_after().unwrap_or(pause).min(LONGEST_PAUSE);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Some(batch),
                () = sleep(pause) => {}
            }
        }
    }

    /// Counts what came of a try. The error, if another may be worth it.
    fn settle(&mut self, batch: &[Span], sent: Result<u64, ExportError>) -> Option<ExportError> {
        match sent {
            Ok(rejected) => {
                let rejected = rejected.min(count(batch));
                self.tally.exported(count(batch) - rejected);
                self.tally.rejected(rejected);
                self.trouble.is_over();
                None
            }
            Err(error) => {
                self.trouble.say(&error);
                Some(error)
            }
        }
    }

    fn give_up(&mut self, spans: u64, error: &ExportError) {
        self.trouble.lost += spans;
        if error.is_transient() {
            self.tally.dropped(spans);
        } else {
            self.tally.rejected(spans);
        }
    }

    /// One try for all that is left.
    async fn finish(mut self, begun: Vec<Span>) {
        self.queue.close();
        let mut left = begun;
        while let Ok(span) = self.queue.try_recv() {
            left.push(span);
        }
        self.exporter.redact(&mut left);
        let until = Instant::now() + LAST_WORDS;
        for batch in left.chunks(MOST_AT_ONCE) {
            match timeout_at(until, self.exporter.send(batch)).await {
                Ok(sent) => {
                    if let Some(error) = self.settle(batch, sent) {
                        self.give_up(count(batch), &error);
                    }
                }
                Err(_) => self.tally.dropped(count(batch)),
            }
        }
    }
}

fn count(batch: &[Span]) -> u64 {
    batch.len().try_into().unwrap_or(u64::MAX)
}

/// Says that spans do not arrive, once, and again when the reason changes or it is over.
#[derive(Debug, Default)]
struct Trouble {
    said: Option<String>,
    lost: u64,
}

impl Trouble {
    fn say(&mut self, error: &ExportError) {
        let text = error.to_string();
        if self.said.as_ref() == Some(&text) {
            tracing::debug!("traces still do not arrive: {text}");
        } else {
            tracing::warn!("traces do not arrive, which no run waits for: {text}; {}", error.hint());
            self.said = Some(text);
        }
    }

    fn is_over(&mut self) {
        if self.said.take().is_some() {
            tracing::info!("traces arrive again; {} spans were lost", std::mem::take(&mut self.lost));
        }
    }
}

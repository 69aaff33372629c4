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
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
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
            let error = self.settle(&batch, sent)?;
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
    use std::time::SystemTime;

    use axum::Router;
    use axum::body::Bytes;
    use axum::extract::State;
    use axum::routing::post;
    use http::StatusCode;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use prost::Message as _;
    use tokio::net::TcpListener;
    use url::Url;

    use super::*;
    use crate::context::SpanContext;
    use crate::exporter::Target;
    use crate::span::{SpanKind, Value};

    #[derive(Default)]
    struct Counts {
        exported: AtomicU64,
        rejected: AtomicU64,
        dropped: AtomicU64,
    }

    impl Counts {
        fn all(&self) -> [u64; 3] {
            [&self.exported, &self.rejected, &self.dropped].map(|count| count.load(Ordering::SeqCst))
        }
    }

    impl Tally for Counts {
        fn exported(&self, spans: u64) {
            self.exported.fetch_add(spans, Ordering::SeqCst);
        }

        fn rejected(&self, spans: u64) {
            self.rejected.fetch_add(spans, Ordering::SeqCst);
        }

        fn dropped(&self, spans: u64) {
            self.dropped.fetch_add(spans, Ordering::SeqCst);
        }
    }

    fn span(is_sampled: bool) -> Span {
        Span {
            context: SpanContext { is_sampled, ..SpanContext::new_trace() },
            parent: None,
            has_remote_parent: false,
            name: "run",
            kind: SpanKind::Internal,
            start: SystemTime::now(),
            end: SystemTime::now(),
            attributes: vec![("text", "my secret".into())],
            events: Vec::new(),
            events_left_out: 0,
            error: Some("my secret".to_owned()),
        }
    }

    struct Started {
        sender: SpanSender,
        task: JoinHandle<()>,
        counts: Arc<Counts>,
        stop: CancellationToken,
    }

    fn started(url: &str) -> Started {
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let target = Target::new(Url::parse(url).unwrap(), [("x-key", "k")], Duration::from_secs(30)).unwrap();
        let resource = vec![("service.name".to_owned(), Value::from("w"))];
        let exporter = Exporter::new(client, target, resource, "1", |text| text.replace("secret", "***"));
        let (counts, stop) = (Arc::new(Counts::default()), CancellationToken::new());
        let (sender, task) = start(exporter, Arc::<Counts>::clone(&counts), stop.clone());
        Started { sender, task, counts, stop }
    }

    /// A collector that answers with these statuses, the last of them for ever. It takes nothing that holds a secret.
    async fn collector(statuses: &'static [StatusCode]) -> String {
        async fn answer(
            State((at, statuses)): State<(Arc<AtomicUsize>, &'static [StatusCode])>,
            body: Bytes,
        ) -> StatusCode {
            let request = ExportTraceServiceRequest::decode(body).unwrap();
            if format!("{request:?}").contains("secret") {
                return StatusCode::IM_A_TEAPOT;
            }
            statuses[at.fetch_add(1, Ordering::SeqCst).min(statuses.len() - 1)]
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/traces", post(answer)).with_state((Arc::default(), statuses));
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    async fn counted(counts: &Counts, expected: [u64; 3]) {
        let counted = async {
            while counts.all() != expected {
                tokio::task::yield_now().await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_mins(1), counted).await;
        assert!(in_time.is_ok(), "{:?} is not {expected:?}", counts.all());
    }

    /// The task of this runtime has no turn while spans are given.
    #[tokio::test]
    async fn what_finds_the_queue_full_or_nobody_there_is_counted_and_nobody_waits() {
        let it = started("http://127.0.0.1:9/v1/traces");
        for _ in 0..MOST_WAITING + 10 {
            it.sender.send(span(true));
        }
        assert_eq!(it.counts.all(), [0, 0, 10]);
        it.stop.cancel();
        it.task.await.unwrap();
        assert_eq!(it.counts.all(), [0, 0, u64::try_from(MOST_WAITING).unwrap() + 10]);
        it.sender.send(span(true));
        assert_eq!(it.counts.all()[2], u64::try_from(MOST_WAITING).unwrap() + 11);
    }

    #[tokio::test]
    async fn spans_are_sent_again_when_the_collector_is_back_and_never_with_a_secret() {
        let url = collector(&[StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK]).await;
        let it = started(&url);
        it.sender.send(span(true));
        it.sender.send(span(false));
        counted(&it.counts, [1, 0, 0]).await;
        it.sender.send(span(true));
        it.stop.cancel();
        it.task.await.unwrap();
        assert_eq!(it.counts.all(), [2, 0, 0], "what is left at the end is sent");
    }

    #[tokio::test]
    async fn what_a_collector_will_never_take_is_not_sent_again() {
        let url = collector(&[StatusCode::BAD_REQUEST, StatusCode::OK]).await;
        let it = started(&url);
        it.sender.send(span(true));
        counted(&it.counts, [0, 1, 0]).await;
        it.sender.send(span(true));
        counted(&it.counts, [1, 1, 0]).await;
        drop(it.sender);
        it.task.await.unwrap();
    }
}

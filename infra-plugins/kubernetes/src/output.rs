//! What the containers of runs write.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::AsyncBufReadExt as _;
use infra_contract::{InfraEvent, LogStream, OutputLine};
use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::judgement::PodDigest;
use crate::lines::{self, Line, Lines};
use crate::marks::Marks;
use crate::notes::Notes;

/// Where the events of a watched run go.
pub(crate) type Events = mpsc::Sender<Result<InfraEvent, infra_contract::InfraError>>;

/// So many logs are followed at a time: each is a connection. Others are read when their pods end.
const FOLLOWED: usize = 400;
/// A log that broke off is followed on after this.
const FOLLOW_AGAIN: Duration = Duration::from_secs(1);
/// One that ends without anything new is followed on after a pause that grows up to this.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// The last output of a pod that has ended comes within this time, or is given up.
const LAST_OUTPUT: Duration = Duration::from_secs(20);
/// A node that answers with an error is asked again for so long: it may be busy. One that is gone must not keep a run's end back.
const ASKED_AGAIN: Duration = Duration::from_secs(5);
/// How far the log was read is noted so often.
const NOTE: Duration = Duration::from_secs(2);

/// The logs that are followed, of all runs.
#[derive(Clone, Debug)]
pub(crate) struct Followed(Arc<Semaphore>);

impl Default for Followed {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(FOLLOWED)))
    }
}

/// The output of one run.
pub(crate) struct Output {
    pub(crate) cluster: Cluster,
    pub(crate) marks: Marks,
    pub(crate) events: Events,
    pub(crate) followed: Followed,
    pub(crate) notes: Notes,
}

impl Output {
    /// Whether anybody wants it.
    pub(crate) const fn is_wanted(&self) -> bool {
        self.marks.stream_output || self.marks.ship_output
    }

    /// Follows the log of a pod's flow until the run is over. What was handed on before, also by an earlier process, is not
    /// again.
    pub(crate) async fn follow(&self, pod: Arc<PodDigest>, over: CancellationToken) {
        let mut reading = self.reading();
        let mut pause = FOLLOW_AGAIN;
        loop {
            // With no place free it is read once it has ended.
            let place = tokio::select! {
                biased;
                place = self.followed.0.acquire() => place,
                () = over.cancelled() => return reading.finish(&pod).await,
            };
            let Ok(place) = place else { return };
            let (was_over, before) = (over.is_cancelled(), reading.until);
            let followed = reading.follow(&pod).await;
            drop(place);
            match followed {
                // A log that began after the end is complete. One that began before may have ended for another reason.
                Ok(()) if was_over => break,
                // A log can end though its container goes on, when it is rotated.
                Ok(()) if before == reading.until => pause = (pause * 2).min(LONGEST_PAUSE),
                Ok(()) => pause = FOLLOW_AGAIN,
                Err(_) if was_over => return reading.finish(&pod).await,
                Err(broken) => tracing::debug!(pod = &*pod.name, "the log is followed on: {}", broken.why),
            }
            drop(tokio::time::timeout(pause, over.cancelled()).await);
        }
        reading.note();
    }

    /// Reads what is left of the log of a pod that has ended.
    pub(crate) async fn finish(&self, pod: &PodDigest) {
        self.reading().finish(pod).await;
    }

    fn reading(&self) -> Reading<'_> {
        Reading {
            output: self,
            lines: Lines::default(),
            until: self.notes.read_until(&self.marks.key),
            noted: Instant::now(),
        }
    }
}

struct Reading<'r> {
    output: &'r Output,
    lines: Lines,
    /// Time of the newest line that was handed on.
    until: Option<Timestamp>,
    noted: Instant,
}

/// Why a log was not read to its end.
struct Broken {
    why: String,
    /// Its pod is not there any more: what was not read by now will not be.
    is_gone: bool,
}

impl Reading<'_> {
    async fn finish(&mut self, pod: &PodDigest) {
        let last_try = Instant::now() + ASKED_AGAIN;
        let read = async {
            while let Err(broken) = self.follow(pod).await {
                if broken.is_gone || Instant::now() >= last_try {
                    return tracing::debug!(pod = &*pod.name, "the last output cannot be read: {}", broken.why);
                }
                tokio::time::sleep(FOLLOW_AGAIN).await;
            }
        };
        if tokio::time::timeout(LAST_OUTPUT, read).await.is_err() {
            tracing::debug!(pod = &*pod.name, "the last output does not come");
        }
        self.note();
    }

    async fn follow(&mut self, pod: &PodDigest) -> Result<(), Broken> {
        let container = pod.flow_container_name();
        // A line that was cut in its midst comes again.
        self.lines = Lines::default();
        let log = self.output.cluster.follow(&pod.namespace, &pod.name, container, self.until);
        let log = log.await.map_err(|error| Broken { is_gone: error.is_not_found(), why: error.to_string() })?;
        let mut log = pin!(log);
        // What a broken log began with comes again whole.
        self.lines = Lines::default();
        loop {
            let bytes = log.fill_buf().await.map_err(|error| Broken { is_gone: false, why: error.to_string() })?;
            if bytes.is_empty() {
                let last = self.lines.last();
                self.hand_on(last).await;
                return Ok(());
            }
            let length = bytes.len();
            let lines = self.lines.take(bytes);
            log.consume_unpin(length);
            self.hand_on(lines).await;
        }
    }

    async fn hand_on(&mut self, lines: impl IntoIterator<Item = Line>) {
        let mut text = String::new();
        for line in lines {
            // A log is asked for from a whole second on.
            if line.written.is_some_and(|written| self.until.is_some_and(|until| written <= until)) {
                continue;
            }
            self.until = line.written.or(self.until);
            if self.output.marks.ship_output {
                let written = self.until.unwrap_or_else(Timestamp::now);
                self.send(InfraEvent::LogLine { text: line.text.clone(), written }).await;
            }
            text.push_str(&line.text);
            text.push('\n');
        }
        if self.output.marks.stream_output && !text.is_empty() {
            self.send(InfraEvent::Output { stream: LogStream::Stdout, text }).await;
        }
        if self.noted.elapsed() >= NOTE {
            self.note();
        }
    }

    async fn send(&self, event: InfraEvent) {
        // Without a reader the task is about to be aborted.
        drop(self.output.events.send(Ok(event)).await);
    }

    fn note(&mut self) {
        self.noted = Instant::now();
        if let Some(until) = self.until {
            self.output.notes.note_read_until(&self.output.marks.key, until);
        }
    }
}

/// The last lines of the container that tells how a pod ended: of its run before the last one if it was started anew, else of
/// the last.
pub(crate) async fn last_lines(cluster: &Cluster, pod: &PodDigest, most: i64) -> Vec<OutputLine> {
    let Some(container) = pod.telling() else { return Vec::new() };
    for previous in [true, false] {
        if previous && container.restarts == 0 {
            continue;
        }
        let read = cluster.last_lines(&pod.namespace, &pod.name, &container.name, most, previous);
        match read.await {
            Ok(Some(text)) if !text.is_empty() => return as_output(&text),
            Ok(_) => {}
            Err(error) => tracing::debug!(pod = &*pod.name, "the last lines cannot be read: {error}"),
        }
    }
    Vec::new()
}

fn as_output(text: &str) -> Vec<OutputLine> {
    let lines = lines::of_text(text).into_iter();
    lines.map(|line| OutputLine { text: line.text, written: line.written.unwrap_or_else(Timestamp::now) }).collect()
}

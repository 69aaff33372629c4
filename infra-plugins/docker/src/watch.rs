//! Following a container to its end.
//!
//! One task for each watcher, owned by the stream that it feeds. It waits for the end and reads the output side by side;
//! the end is what waiting brings, and the output gets a moment to arrive before it is told.

use std::collections::VecDeque;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error as EngineError;
use bollard::models::ContainerInspectResponse;
use futures::stream::BoxStream;
use futures::{StreamExt as _, stream};
use infra_contract::{EventStream, InfraError, InfraEvent};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;
use worker_core::exit::ExitReport;

use crate::ending;
use crate::engine::Engine;
use crate::error::{DockerError, message_of};
use crate::handle::Container;
use crate::inquest;
use crate::notes::Notes;
use crate::occurrences::Told;
use crate::output::OutputReader;
use crate::stopped::Stopped;

/// Events that wait for their reader. A reader that is slow holds up the output, which the engine keeps meanwhile.
const WAITING: usize = 64;
/// What was written before the end gets this long to arrive after it.
const LAST_OUTPUT: Duration = Duration::from_secs(5);
/// A wait that lasts is begun anew this often.
const SIGN_OF_LIFE: Duration = Duration::from_mins(1);
/// How far output was read is noted this often at most.
const NOTE: Duration = Duration::from_secs(1);

/// What a watcher needs.
#[derive(Clone)]
pub(crate) struct Watcher {
    pub(crate) engine: Engine,
    pub(crate) container: Container,
    pub(crate) notes: Notes,
    pub(crate) stopped: Stopped,
}

type Pieces = BoxStream<'static, Result<LogOutput, EngineError>>;
type Events = mpsc::Sender<Result<InfraEvent, InfraError>>;

impl Watcher {
    /// Everything that happens to the container from now on, and its end.
    pub(crate) fn events(self) -> EventStream {
        let (events, received) = mpsc::channel(WAITING);
        let work = async move {
            let last = match self.follow(&events).await {
                Ok(report) => Ok(InfraEvent::Exited(report)),
                Err(error) => Err(InfraError::from(error)),
            };
            // Nobody watches any more.
            drop(events.send(last).await);
        };
        let work = AbortOnDropHandle::new(tokio::spawn(work.in_current_span()));
        stream::unfold((received, work), |(mut received, work)| async move {
            received.recv().await.map(|event| (event, (received, work)))
        })
        .boxed()
    }

    async fn follow(&self, events: &Events) -> Result<ExitReport, DockerError> {
        let mut told = Told::default();
        let mut reader = OutputReader::new(&self.container.marks, self.notes.read_until(&self.container.marks.key));
        send(events, InfraEvent::Started).await;
        loop {
            let Some(found) = self.engine.inspect(&self.container.id).await? else {
                return Ok(ending::judge(None, &ending::Surroundings::default()));
            };
            self.tell(events, &mut told, &found).await;
            let waited = self.wait(events, &mut reader, &found).await?;
            let found = match waited {
                Some(_) => self.engine.inspect(&self.container.id).await?,
                // It was gone before it could be waited for.
                None => None,
            };
            if let Some(found) = &found {
                self.tell(events, &mut told, found).await;
                // The engine starts it anew, as the run's own restart policy asks for.
                if found.state.as_ref().is_some_and(ending::is_live) {
                    continue;
                }
            }
            let inquest = inquest::Inquest { engine: &self.engine, container: &self.container, stopped: &self.stopped };
            return inquest.report(found.as_ref(), waited).await;
        }
    }

    async fn tell(&self, events: &Events, told: &mut Told, found: &ContainerInspectResponse) {
        for occurrence in told.news(&self.container, found) {
            send(events, InfraEvent::Occurred(Box::new(occurrence))).await;
        }
    }

    /// Waits for the end while the output is read; the exit code, `None` if the container was gone.
    async fn wait(
        &self,
        events: &Events,
        reader: &mut OutputReader,
        found: &ContainerInspectResponse,
    ) -> Result<Option<i64>, DockerError> {
        let id = &self.container.id;
        let waiting = async {
            loop {
                match timeout(SIGN_OF_LIFE, self.engine.wait(id)).await {
                    Ok(Ok(code)) => return Ok(Some(code)),
                    Ok(Err(error)) if error.status() == Some(404) => return Ok(None),
                    Ok(Err(error)) => return Err(error),
                    // A connection can be dead without a word: then this question fails, and the watch with it.
                    Err(_) => drop(self.engine.inspect(id).await?),
                }
            }
        };
        if !reader.is_wanted() || !keeps_output(found) {
            return waiting.await;
        }
        // A container that is started anew has written before.
        reader.resume();
        let mut reading = Reading {
            events,
            pieces: self.engine.follow_logs(id, reader.since()).boxed(),
            reader,
            unsent: VecDeque::new(),
            notes: &self.notes,
            container: &self.container,
            noted: Instant::now(),
        };
        let (ended, was_cut_off) = {
            tokio::pin!(waiting);
            tokio::select! {
                ended = &mut waiting => (ended, false),
                () = reading.go_on() => (waiting.await, true),
            }
        };
        if ended.is_ok() {
            if !was_cut_off && timeout(LAST_OUTPUT, reading.go_on()).await.is_err() {
                tracing::debug!("the last output of the container did not come");
            }
            // The engine follows no container that is about to be started anew, and may end a stream before the last piece.
            reading.reader.resume();
            reading.pieces = self.engine.follow_logs(id, reading.reader.since()).boxed();
            if timeout(LAST_OUTPUT, reading.go_on()).await.is_err() {
                tracing::debug!("the last output of the container did not come");
            }
            reading.finish().await;
        }
        reading.note();
        ended
    }
}

/// The output of a container, on its way.
struct Reading<'r> {
    events: &'r Events,
    pieces: Pieces,
    reader: &'r mut OutputReader,
    /// What was read and not handed on yet.
    unsent: VecDeque<InfraEvent>,
    notes: &'r Notes,
    container: &'r Container,
    noted: Instant,
}

impl Reading<'_> {
    /// Reads until the output is over. Cancel safe: what was read stays here until it is handed on.
    async fn go_on(&mut self) {
        loop {
            self.hand_on().await;
            if self.noted.elapsed() >= NOTE {
                self.note();
            }
            match self.pieces.next().await {
                Some(Ok(piece)) => self.unsent.extend(self.reader.events(&piece)),
                Some(Err(error)) => return complain(&error),
                None => return,
            }
        }
    }

    async fn hand_on(&mut self) {
        while !self.unsent.is_empty() {
            // Without a reader the task is about to be aborted.
            let Ok(place) = self.events.reserve().await else { return self.unsent.clear() };
            if let Some(event) = self.unsent.pop_front() {
                place.send(Ok(event));
            }
        }
    }

    async fn finish(&mut self) {
        self.unsent.extend(self.reader.last());
        self.hand_on().await;
    }

    /// Notes how far was read.
    fn note(&mut self) {
        self.noted = Instant::now();
        if let Some(time) = self.reader.read_until() {
            self.notes.note_read_until(&self.container.marks.key, time);
        }
    }
}

fn complain(error: &EngineError) {
    let why = message_of(error).unwrap_or_else(|| error.to_string());
    // The engine removes the container, and its output with it.
    if why.contains("marked for removal") {
        tracing::warn!("the output of the container ends early: {why}");
    } else {
        tracing::warn!("the output of the container cannot be read on: {why}");
    }
}

/// Drivers that hand output on without keeping it.
fn keeps_output(found: &ContainerInspectResponse) -> bool {
    let driver =
        found.host_config.as_ref().and_then(|host| host.log_config.as_ref()).and_then(|log| log.typ.as_deref());
    driver != Some("none")
}

async fn send(events: &Events, event: InfraEvent) {
    // Without a reader the task is about to be aborted.
    drop(events.send(Ok(event)).await);
}

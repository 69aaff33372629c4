//! What a person at the terminal, or a script that replaces `prefect worker start`, reads.
//!
//! The worker's own log goes to standard error; the lines here and the output of flow processes go where Prefect's worker
//! puts them. A closed pipe at the other end is no reason for a daemon to die, so failed writes are dropped.
//!
//! [`start`] spawns one writing thread for standard output and one for standard error. From then on nothing but them ever
//! writes: a reader that stopped reading must not hold up the daemon's loops, nor a log line one of its threads. What no
//! room is left for is dropped, counted, and told. Before the start, and in the commands that only print, writes are direct.

mod lane;

use std::io::{self, Write};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use infra_contract::LogStream;

use lane::Lane;

use crate::redaction::KnownSecrets;

/// What waits to be written gets this long at the end.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// The two lanes of this process, which has one standard output and one standard error.
static LANES: OnceLock<Lanes> = OnceLock::new();

#[derive(Clone, Debug)]
struct Lanes {
    stdout: Arc<Lane>,
    stderr: Arc<Lane>,
}

/// Starts the writing threads, unless they run. They end with the process.
///
/// # Errors
/// The system refuses a thread.
pub fn start() -> io::Result<()> {
    lanes().map(drop)
}

fn lanes() -> io::Result<&'static Lanes> {
    if let Some(lanes) = LANES.get() {
        return Ok(lanes);
    }
    let started = Lanes {
        stdout: Lane::start("standard output", io::stdout())?,
        stderr: Lane::start("standard error", io::stderr())?,
    };
    Ok(LANES.get_or_init(|| started))
}

/// Waits until everything was written, for 2 s at most. The last thing before the end of the process.
pub fn finish() {
    let Some(lanes) = LANES.get() else { return };
    let limit = Instant::now() + LAST_WRITES;
    for lane in [&lanes.stdout, &lanes.stderr] {
        lane.drain(limit);
    }
}

/// A line of the worker itself, to standard output.
pub fn line(text: &str) {
    let line = format!("{text}\n");
    match LANES.get() {
        Some(lanes) => lanes.stdout.line(line.into_bytes()),
        None => write_directly(&mut io::stdout(), line.as_bytes()),
    }
}

/// A complaint of a command that was typed, to standard error: logging may not exist yet.
pub fn complaint(text: &str) {
    to_stderr(format!("{text}\n").into_bytes());
}

fn to_stderr(line: Vec<u8>) {
    match LANES.get() {
        Some(lanes) => lanes.stderr.line(line),
        None => write_directly(&mut io::stderr(), &line),
    }
}

fn write_directly(to: &mut impl Write, bytes: &[u8]) {
    let written = to.write_all(bytes).and_then(|()| to.flush());
    drop(written);
}

/// Where log lines go. One write is one line, and never waits. It loses the secrets that are known.
#[derive(Clone, Debug)]
pub struct LogWriter(pub KnownSecrets);

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line).into_owned();
        to_stderr(self.0.redact(text).into_bytes());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where the output of flow processes goes.
#[derive(Clone, Debug)]
pub struct OutputSink(Lanes);

impl OutputSink {
    /// The sink of this process. Starts the writing threads, unless they run.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start() -> io::Result<Self> {
        lanes().cloned().map(Self)
    }

    /// Hands over a piece of output. Waits while the reader is slow, for 5 s at most: then the piece is dropped, and
    /// further ones are dropped at once until the reader has caught up, so that the end of a run is never held up by
    /// somebody who does not read. Cancel safe: a piece is handed over or not.
    pub async fn write(&self, stream: LogStream, text: String) {
        let lane = match stream {
            LogStream::Stdout => &self.0.stdout,
            LogStream::Stderr => &self.0.stderr,
        };
        lane.output(text.into_bytes()).await;
    }
}

//! What a person at the terminal, or a script that replaces `prefect worker start`, reads.
//!
//! The worker's own log goes to standard error; these lines and the output of flow processes go where Prefect's worker
//! puts them. A closed pipe at the other end is no reason for a daemon to die, so failed writes are dropped.
//!
//! Spawns one thread, which writes what flow processes print: a reader that stopped reading must hold up those
//! processes, not the daemon's loops.

use std::io::Write;
use std::thread;

use infra_contract::LogStream;
use tokio::sync::mpsc;

/// Pieces of output that wait for a slow reader before the processes that print them have to wait.
const WAITING: usize = 256;

/// A line of the worker itself, to standard output.
pub fn line(text: &str) {
    write_all(&mut std::io::stdout().lock(), text, "\n");
}

/// A complaint of a command that was typed, to standard error: logging may not exist yet.
pub fn complaint(text: &str) {
    write_all(&mut std::io::stderr().lock(), text, "\n");
}

/// Where the output of flow processes goes.
#[derive(Clone, Debug)]
pub struct OutputSink(mpsc::Sender<(LogStream, String)>);

impl OutputSink {
    /// Starts the writing thread; it ends when the last sink is dropped.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start() -> std::io::Result<Self> {
        let (sender, mut receiver) = mpsc::channel::<(LogStream, String)>(WAITING);
        thread::Builder::new().name("output".to_owned()).spawn(move || {
            while let Some((stream, text)) = receiver.blocking_recv() {
                write_output(stream, &text);
            }
        })?;
        Ok(Self(sender))
    }

    /// Hands over a piece of output, waiting while the reader is slow. Cancel safe: a piece is handed over or not.
    pub async fn write(&self, stream: LogStream, text: String) {
        if self.0.send((stream, text)).await.is_err() {
            tracing::debug!("output came after the end of the worker");
        }
    }
}

fn write_output(stream: LogStream, text: &str) {
    match stream {
        LogStream::Stdout => write_all(&mut std::io::stdout().lock(), text, ""),
        LogStream::Stderr => write_all(&mut std::io::stderr().lock(), text, ""),
    }
}

fn write_all(to: &mut impl Write, text: &str, end: &str) {
    let written = to.write_all(text.as_bytes()).and_then(|()| to.write_all(end.as_bytes())).and_then(|()| to.flush());
    drop(written);
}

//! The audit log: a line of JSON for whatever this daemon does with a run, in a file that is only added to.
//!
//! One thread writes, so that a slow disk holds no run; its queue is bounded, and a line that finds no room is lost and said so.
//! Where the log is required, a launch waits for its line. No secret is in it: commands are there by their digest.

mod entry;
mod file;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use camino::Utf8PathBuf;
use tokio::sync::oneshot;

pub use entry::{Entry, Event};
use file::AuditFile;

/// So many lines wait for the disk.
const QUEUE: usize = 1_024;
/// So long a line is waited for that need not be there.
const PATIENCE: Duration = Duration::from_secs(1);

/// The audit log of a daemon, if it has one; clones share it.
#[derive(Clone, Debug, Default)]
pub struct AuditLog(Option<Arc<Writer>>);

#[derive(Debug)]
struct Writer {
    lines: mpsc::SyncSender<Line>,
    required: bool,
    /// A failure is said once, and so is the end of it.
    is_failing: AtomicBool,
}

struct Line {
    text: String,
    written: oneshot::Sender<std::io::Result<()>>,
}

impl AuditLog {
    /// Opens the log and starts the thread that writes it.
    ///
    /// # Errors
    /// It cannot be opened although it is required, or there is no thread for it.
    pub fn start(path: Utf8PathBuf, required: bool) -> std::io::Result<Self> {
        let mut file = AuditFile::at(path);
        if let Err(error) = file.open() {
            if required {
                return Err(error);
            }
            tracing::error!("the audit log cannot be written: {error}");
        }
        let (lines, queue) = mpsc::sync_channel::<Line>(QUEUE);
        std::thread::Builder::new().name("audit".to_owned()).spawn(move || {
            while let Ok(Line { text, written }) = queue.recv() {
                // Whoever was waiting may have given up.
                drop(written.send(file.add(&text)));
            }
        })?;
        Ok(Self(Some(Arc::new(Writer { lines, required, is_failing: AtomicBool::new(false) }))))
    }

    /// Whether a run may not be launched without its line.
    pub fn is_required(&self) -> bool {
        self.0.as_ref().is_some_and(|writer| writer.required)
    }

    /// Adds a line, and waits for a moment until it is there. False if it is not; that is said here.
    pub async fn add(&self, entry: &Entry) -> bool {
        let Some(writer) = &self.0 else { return true };
        let added = writer.add(entry).await;
        let was_failing = writer.is_failing.swap(added.is_err(), Ordering::AcqRel);
        match &added {
            Ok(()) if was_failing => tracing::info!("the audit log is written again"),
            Err(error) if !was_failing => {
                tracing::error!("the audit log cannot be written, its lines are lost: {error}");
            }
            Ok(()) | Err(_) => {}
        }
        added.is_ok()
    }
}

impl Writer {
    async fn add(&self, entry: &Entry) -> std::io::Result<()> {
        let text = serde_json::to_string(entry)?;
        let (written, answer) = oneshot::channel();
        self.lines
            .try_send(Line { text, written })
            .map_err(|_| std::io::Error::other("the disk does not keep up with it"))?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(written)) => written,
            Ok(Err(_)) => Err(std::io::Error::other("its thread has ended")),
            Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
        }
    }
}

//! What a process under test has written, line by line.

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::watch;

/// Lines of one stream, kept in memory and in a file. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Output {
    name: &'static str,
    lines: Arc<Mutex<Vec<String>>>,
    written: watch::Receiver<usize>,
}

impl Output {
    /// Reads `stream` to its end in a task of its own.
    pub(super) fn follow(name: &'static str, stream: impl AsyncRead + Send + Unpin + 'static, file: PathBuf) -> Self {
        let (announce, written) = watch::channel(0);
        let output = Self { name, lines: Arc::default(), written };
        let lines = Arc::clone(&output.lines);
        let mut copy = fs_err::File::create(file).expect("the harness writes into its own directory");
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
                copy.write_all(&line).expect("the harness writes into its own directory");
                let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.push(text);
                announce.send_replace(lines.len());
                line.clear();
            }
        });
        output
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many lines hold `text`.
    pub fn count(&self, text: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(text)).count()
    }

    /// Whether a line holds `text`.
    pub fn has(&self, text: &str) -> bool {
        self.count(text) > 0
    }

    /// Waits for a line that holds `text` and returns it.
    pub async fn wait_for(&self, text: &str, bound: Duration) -> String {
        let mut written = self.written.clone();
        let found = async {
            loop {
                written.mark_unchanged();
                if let Some(line) = self.lines().into_iter().find(|line| line.contains(text)) {
                    return Some(line);
                }
                if written.changed().await.is_err() {
                    return self.lines().into_iter().find(|line| line.contains(text));
                }
            }
        };
        let Ok(found) = tokio::time::timeout(bound, found).await else {
            panic!(
                "no {text:?} on {} within {} s:
{}",
                self.name,
                bound.as_secs(),
                self.tail()
            );
        };
        found.unwrap_or_else(|| {
            panic!(
                "{} ended without {text:?}:
{}",
                self.name,
                self.tail()
            )
        })
    }

    /// Waits until the stream was closed: then nothing is missing from it.
    pub(super) async fn closed(&self) {
        let mut written = self.written.clone();
        while written.changed().await.is_ok() {}
    }

    /// Its last lines.
    pub fn tail(&self) -> String {
        let lines = self.lines();
        let from = lines.len().saturating_sub(60);
        lines[from..].join("\n")
    }
}

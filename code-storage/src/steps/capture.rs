//! Taking what programs write: for the outputs of a step, for the log, and for an error.

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::PullLog;
use super::secrets::Secrets;

/// The most that is kept of a stream that a later step may read.
pub(super) const MOST: usize = 16 * 1024 * 1024;

/// What is kept of a stream that nobody reads: its end, for an error.
const END: usize = 64 * 1024;

/// A line of the log is cut to this length, in characters.
const LINE: usize = 8 * 1024;

/// The most that is held of a line that does not end.
const UNFINISHED: usize = 64 * 1024;

/// Where lines go.
#[derive(Clone, Copy)]
pub(super) struct Lines<'a> {
    pub(super) log: &'a dyn PullLog,
    pub(super) secrets: &'a Secrets,
}

/// One stream of all the programs of a step.
pub(super) struct Capture<'a> {
    lines: Option<Lines<'a>>,
    /// Whether all of it is wanted.
    whole: bool,
    kept: Vec<u8>,
    is_cut: bool,
    line: Vec<u8>,
}

impl<'a> Capture<'a> {
    pub(super) fn new(lines: Option<Lines<'a>>, whole: bool) -> Self {
        Self { lines, whole, kept: Vec::new(), is_cut: false, line: Vec::new() }
    }

    /// Reads to the end. Cancel safe: what was read is kept.
    pub(super) async fn read(&mut self, stream: Option<impl AsyncRead + Unpin>) {
        let Some(mut stream) = stream else { return };
        let mut buffer = vec![0; 16 * 1024];
        // A stream that cannot be read has nothing more to say.
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            self.take(buffer.get(..read).unwrap_or_default());
        }
        self.end_line();
    }

    fn take(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        let most = if self.whole { MOST } else { 2 * END };
        if self.kept.len() > most {
            self.is_cut = true;
            self.kept.drain(..self.kept.len() - END);
        }
        if self.lines.is_none() {
            return;
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() < UNFINISHED {
                self.line.extend_from_slice(piece);
            }
            if piece.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        if let Some(lines) = self.lines
            && !line.is_empty()
        {
            lines.log.output(lines.secrets.mask(line).chars().take(LINE).collect());
        }
    }

    /// Whether more came than is kept although all of it is wanted.
    pub(super) fn is_too_long(&self) -> bool {
        self.whole && self.is_cut
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept).into_owned()
    }
}

//! Taking what a program writes without letting it fill the memory.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The most that is kept of one stream: its end, which is where errors are.
const KEPT: usize = 64 * 1024;

/// How long a stream is read on after the program has ended: a helper it left behind may hold the stream open for ever.
pub(super) const DRAIN: Duration = Duration::from_secs(1);

/// The end of a stream.
#[derive(Debug, Default)]
pub(super) struct Tail(Vec<u8>);

impl Tail {
    /// Reads to the end. Cancel safe: what was read is kept.
    pub(super) async fn read(&mut self, stream: Option<impl AsyncRead + Unpin>) {
        let Some(mut stream) = stream else { return };
        // A stream that cannot be read has nothing more to say.
        while matches!(stream.read_buf(&mut self.0).await, Ok(1..)) {
            if self.0.len() > 2 * KEPT {
                self.0.drain(..self.0.len() - KEPT);
            }
        }
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).trim().to_owned()
    }
}

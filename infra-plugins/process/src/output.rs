//! Relaying a child's output towards whoever watches the run.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use infra_contract::LogStream;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::lines::LineCutter;
use crate::stderr_tail::StderrTail;

/// How long output may go on arriving after the child's end. What the child wrote is in the pipe by then; only what it
/// left in the background still writes.
pub(crate) const DRAIN: Duration = Duration::from_millis(200);

/// How many pieces wait for a reader before the child is held back.
const CAPACITY: usize = 64;

/// How long the child is held back before output is dropped instead.
const STALL_LIMIT: Duration = Duration::from_secs(5);

/// When an unfinished line (a prompt, a progress bar) is passed on.
const IDLE_FLUSH: Duration = Duration::from_millis(100);

/// How much is read after the drain time if it is there already: more than a pipe holds.
const DRAIN_BYTES: usize = 2 * 1024 * 1024;

/// A piece of output.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) stream: LogStream,
    pub(crate) text: String,
}

/// A channel of pieces that holds back its sender.
pub(crate) fn channel() -> (Sender<Piece>, Receiver<Piece>) {
    tokio::sync::mpsc::channel(CAPACITY)
}

/// Where one stream of a child goes.
pub(crate) struct Relay {
    pub(crate) stream: LogStream,
    /// Towards the watchers, if the run's output is wanted.
    pub(crate) pieces: Option<Sender<Piece>>,
    /// The end of it is kept here, if it is wanted.
    pub(crate) tail: Option<Arc<Mutex<StderrTail>>>,
    /// Cancelled when the child has ended.
    pub(crate) child_ended: CancellationToken,
}

impl Relay {
    /// Reads until the stream ends, or until [`DRAIN`] after the child's end; then closes it.
    pub(crate) async fn run(self, from: impl AsyncRead + Unpin) {
        let Self { stream, pieces, tail, child_ended } = self;
        let mut source = Source { from, buffer: vec![0; 8 * 1024], child_ended, drain: None };
        let mut outlet = pieces.map(|pieces| Outlet { pieces, stream, stalled: false, dropped: 0 });
        let mut cutter = LineCutter::default();
        loop {
            let text = match source.read(!cutter.is_empty()).await {
                Read::Bytes(bytes) => {
                    if let Some(tail) = &tail {
                        tail.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
                    }
                    outlet.as_ref().and_then(|_| cutter.push(bytes))
                }
                Read::Idle => cutter.flush(),
                Read::End => break,
            };
            send(&mut outlet, text).await;
        }
        send(&mut outlet, cutter.finish()).await;
    }
}

async fn send(outlet: &mut Option<Outlet>, text: Option<String>) {
    if let (Some(outlet), Some(text)) = (outlet, text) {
        outlet.send(text).await;
    }
}

enum Read<'b> {
    Bytes(&'b [u8]),
    /// An unfinished line has waited for its end for a while.
    Idle,
    End,
}

/// The reading side, which knows when to stop.
struct Source<R> {
    from: R,
    buffer: Vec<u8>,
    child_ended: CancellationToken,
    /// Set once the child has ended.
    drain: Option<Drain>,
}

/// The limits of reading on after the child's end.
struct Drain {
    deadline: Instant,
    left: usize,
}

impl<R: AsyncRead + Unpin> Source<R> {
    async fn read(&mut self, line_waits: bool) -> Read<'_> {
        if self.drain.is_none() {
            tokio::select! {
                read = self.from.read(&mut self.buffer) => return self.done(read.unwrap_or(0)),
                () = tokio::time::sleep(IDLE_FLUSH), if line_waits => return Read::Idle,
                () = self.child_ended.cancelled() => {}
            }
        }
        let fresh = || Drain { deadline: Instant::now() + DRAIN, left: DRAIN_BYTES };
        let drain = self.drain.get_or_insert_with(fresh);
        // After the deadline only what is there already: a slow reader on our side must not cost the child's last words.
        let read = timeout_at(drain.deadline, self.from.read(&mut self.buffer)).await;
        let count = read.ok().and_then(Result::ok).filter(|_| drain.left > 0).unwrap_or(0);
        drain.left = drain.left.saturating_sub(count);
        self.done(count)
    }

    fn done(&self, count: usize) -> Read<'_> {
        match self.buffer.get(..count) {
            Some(bytes) if count > 0 => Read::Bytes(bytes),
            _ => Read::End,
        }
    }
}

/// The sending side, which holds the child back for a while and then drops.
struct Outlet {
    pieces: Sender<Piece>,
    stream: LogStream,
    stalled: bool,
    dropped: usize,
}

impl Outlet {
    async fn send(&mut self, text: String) {
        if self.stalled {
            self.send_if_room(&text);
            return;
        }
        match timeout(STALL_LIMIT, self.pieces.reserve()).await {
            Ok(Ok(permit)) => permit.send(Piece { stream: self.stream, text }),
            // The run was forgotten: nobody can want its output.
            Ok(Err(_)) => {}
            Err(_) => {
                self.stalled = true;
                self.dropped = text.len();
                tracing::warn!("nobody reads the run's output; dropping it until somebody does");
            }
        }
    }

    fn send_if_room(&mut self, text: &str) {
        let told = format!("[{} bytes of output were dropped because nobody read them]\n{text}", self.dropped);
        match self.pieces.try_send(Piece { stream: self.stream, text: told }) {
            Ok(()) => {
                self.stalled = false;
                self.dropped = 0;
            }
            Err(TrySendError::Full(_)) => self.dropped += text.len(),
            Err(TrySendError::Closed(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    fn relay(pieces: Sender<Piece>, child_ended: &CancellationToken) -> Relay {
        Relay { stream: LogStream::Stdout, pieces: Some(pieces), tail: None, child_ended: child_ended.clone() }
    }

    #[tokio::test(start_paused = true)]
    async fn an_unfinished_line_is_passed_on_after_a_moment() {
        let (mut child, ours) = tokio::io::duplex(1024);
        let (sender, mut pieces) = channel();
        let relaying = tokio::spawn(relay(sender, &CancellationToken::new()).run(ours));
        child.write_all(b"50%").await.unwrap();
        assert_eq!(pieces.recv().await.unwrap().text, "50%");
        drop(child);
        relaying.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn output_without_a_reader_is_dropped_counted_and_told() {
        let (mut child, ours) = tokio::io::duplex(1024);
        let (sender, mut pieces) = channel();
        let relaying = tokio::spawn(relay(sender, &CancellationToken::new()).run(ours));
        let begun = Instant::now();
        for _ in 0..200 {
            child.write_all(&[b"x".repeat(1023), b"\n".to_vec()].concat()).await.unwrap();
        }
        assert!(begun.elapsed() < STALL_LIMIT * 2, "the child was held back once, not each time");
        for _ in 0..CAPACITY {
            pieces.recv().await.unwrap();
        }
        child.write_all(b"at last\n").await.unwrap();
        drop(child);
        let mut rest = String::new();
        while let Some(piece) = pieces.recv().await {
            rest.push_str(&piece.text);
        }
        assert!(rest.contains("bytes of output were dropped"), "{rest}");
        assert!(rest.ends_with("at last\n"), "{rest}");
        relaying.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_childs_end_a_stream_held_open_is_closed_soon() {
        let (mut child, ours) = tokio::io::duplex(1024);
        let (sender, mut pieces) = channel();
        let child_ended = CancellationToken::new();
        let relaying = tokio::spawn(relay(sender, &child_ended).run(ours));
        child.write_all(b"last words\n").await.unwrap();
        child_ended.cancel();
        let ended_at = Instant::now();
        relaying.await.unwrap();
        assert!(ended_at.elapsed() <= DRAIN + Duration::from_millis(5), "{:?}", ended_at.elapsed());
        assert_eq!(pieces.recv().await.unwrap().text, "last words\n");
        assert!(pieces.recv().await.is_none());
    }
}

//! One stream of this process: a bounded queue and the thread that writes what is in it.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Pieces of output that wait for a slow reader before the processes that print them have to wait.
const OUTPUT_WAITING: usize = 256;
/// Pieces of any kind that wait before the worker's own lines are dropped. Output leaves most of the room to them.
const MOST_WAITING: usize = 4096;
/// A reader that takes nothing for so long is not slow, but stuck.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Lane {
    name: &'static str,
    queue: Mutex<Queue>,
    /// Something was queued.
    filled: Condvar,
    /// Nothing waits and nothing is being written.
    drained: Condvar,
    room: Arc<Semaphore>,
    /// Output found no room in time and none has been waited for since. Ends when everything was written.
    is_stuck: AtomicBool,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    pieces: VecDeque<Piece>,
    is_writing: bool,
}

#[derive(Debug)]
struct Piece {
    bytes: Vec<u8>,
    /// Given back when the piece was written.
    _room: Option<OwnedSemaphorePermit>,
}

impl Lane {
    /// Starts the thread, which lives as long as the process: it may be blocked in a write that never ends.
    pub(super) fn start(name: &'static str, to: impl Write + Send + 'static) -> io::Result<Arc<Self>> {
        let lane = Arc::new(Self {
            name,
            queue: Mutex::default(),
            filled: Condvar::new(),
            drained: Condvar::new(),
            room: Arc::new(Semaphore::new(OUTPUT_WAITING)),
            is_stuck: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
        });
        let writing = Arc::clone(&lane);
        thread::Builder::new().name(name.to_owned()).spawn(move || writing.write_for_ever(to))?;
        Ok(lane)
    }

    /// Queues a line of the worker itself, or drops it if too much waits. Never waits.
    pub(super) fn line(&self, bytes: Vec<u8>) {
        let mut queue = self.queue();
        if queue.pieces.len() < MOST_WAITING {
            queue.pieces.push_back(Piece { bytes, _room: None });
            self.filled.notify_one();
        } else {
            // Not told here: this may be a log line itself.
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Queues output of a process. Waits for room, unless the reader is known to be stuck.
    pub(super) async fn output(&self, bytes: Vec<u8>) {
        let Some(room) = self.room_for_output().await else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            if !self.is_stuck.swap(true, Ordering::Relaxed) {
                tracing::warn!("{} is not read: what flow processes print there is dropped until it is", self.name);
            }
            return;
        };
        self.queue().pieces.push_back(Piece { bytes, _room: Some(room) });
        self.filled.notify_one();
    }

    async fn room_for_output(&self) -> Option<OwnedSemaphorePermit> {
        let room = || Arc::clone(&self.room);
        match room().try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) if self.is_stuck.load(Ordering::Relaxed) => None,
            Err(_) => timeout(PATIENCE, room().acquire_owned()).await.ok()?.ok(),
        }
    }

    /// Blocks until everything was written, but not beyond `limit`.
    pub(super) fn drain(&self, limit: Instant) {
        let left = limit.saturating_duration_since(Instant::now());
        let drained = self.drained.wait_timeout_while(self.queue(), left, |queue| !queue.is_drained());
        drop(drained);
    }

    fn write_for_ever(&self, mut to: impl Write) {
        loop {
            let piece = self.next_piece();
            let written = to.write_all(&piece.bytes).and_then(|()| to.flush());
            // A closed pipe: nobody misses it.
            drop(written);
            drop(piece);
            if self.is_drained_now() {
                self.tell_losses();
            }
        }
    }

    fn next_piece(&self) -> Piece {
        let mut queue = self.queue();
        loop {
            if let Some(piece) = queue.pieces.pop_front() {
                queue.is_writing = true;
                return piece;
            }
            queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn is_drained_now(&self) -> bool {
        let mut queue = self.queue();
        queue.is_writing = false;
        let is_drained = queue.is_drained();
        if is_drained {
            self.drained.notify_all();
        }
        is_drained
    }

    fn tell_losses(&self) {
        self.is_stuck.store(false, Ordering::Relaxed);
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(dropped, "{} was not read for a while, and lines were dropped", self.name);
        }
    }

    /// Poison is no concern: nothing panics while it holds the queue.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn is_drained(&self) -> bool {
        self.pieces.is_empty() && !self.is_writing
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Takes one write for each token, and none without.
    struct Reader {
        tokens: mpsc::Receiver<()>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.tokens.recv().map_err(io::Error::other)?;
            self.taken.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lane() -> (Arc<Lane>, mpsc::Sender<()>, Arc<Mutex<Vec<u8>>>) {
        let (sender, tokens) = mpsc::channel();
        let taken = Arc::<Mutex<Vec<u8>>>::default();
        let lane = Lane::start("test", Reader { tokens, taken: Arc::clone(&taken) }).unwrap();
        (lane, sender, taken)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[tokio::test(start_paused = true)]
    async fn output_for_a_stuck_reader_is_dropped_after_one_wait_and_lines_never_wait() {
        let (lane, reader, taken) = lane();
        for _ in 0..OUTPUT_WAITING {
            lane.output(b"o".to_vec()).await;
        }
        let began = tokio::time::Instant::now();
        for _ in 0..100 {
            lane.output(b"x".to_vec()).await;
        }
        let waited = began.elapsed();
        assert!((PATIENCE..PATIENCE * 2).contains(&waited), "only the first waits, not {waited:?}");
        lane.line(b"l".to_vec());
        for _ in 0..=OUTPUT_WAITING {
            reader.send(()).unwrap();
        }
        lane.drain(soon());
        let expected = [vec![b'o'; OUTPUT_WAITING], vec![b'l']].concat();
        assert_eq!(*taken.lock().unwrap(), expected, "what was handed over is written, in order");
    }

    #[tokio::test]
    async fn lines_beyond_the_room_for_them_are_dropped() {
        let (lane, reader, taken) = lane();
        for _ in 0..MOST_WAITING * 2 {
            lane.line(b"l".to_vec());
        }
        let dropped = lane.dropped.load(Ordering::Relaxed);
        assert!(
            dropped + 1 >= u64::try_from(MOST_WAITING).unwrap(),
            "all beyond the room, but for one that is being written: {dropped}"
        );
        // Hung up: the rest of the writes fails, as on a closed pipe.
        reader.send(()).unwrap();
        drop(reader);
        lane.drain(soon());
        assert!(lane.queue().is_drained());
        assert_eq!(*taken.lock().unwrap(), b"l");
        lane.output(b"o".to_vec()).await;
    }

    #[test]
    fn the_last_writes_are_waited_for_within_bounds() {
        let (lane, reader, taken) = lane();
        lane.line(b"last".to_vec());
        lane.drain(Instant::now());
        assert!(!lane.queue().is_drained(), "the time is up");
        reader.send(()).unwrap();
        lane.drain(soon());
        assert_eq!(*taken.lock().unwrap(), b"last");
    }
}

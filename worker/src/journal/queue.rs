//! The changes that wait for the thread of the journal.
//!
//! Bounded by a count: a bounded channel of the standard library takes the room for all that it may ever hold from the start.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Where changes are put.
pub(super) struct Entrance<T> {
    sender: Sender<T>,
    waiting: Arc<AtomicUsize>,
    most: usize,
}

/// Where the thread takes them.
pub(super) struct Queue<T> {
    receiver: Receiver<T>,
    waiting: Arc<AtomicUsize>,
}

/// Why a change was not put in. It comes back where there was no room.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotPut<T> {
    Full(T),
    Closed,
}

/// A queue of at most so many.
pub(super) fn queue<T>(most: usize) -> (Entrance<T>, Queue<T>) {
    let (sender, receiver) = channel();
    let waiting = Arc::<AtomicUsize>::default();
    (Entrance { sender, waiting: Arc::clone(&waiting), most }, Queue { receiver, waiting })
}

impl<T> Entrance<T> {
    pub(super) fn put(&self, item: T) -> Result<(), NotPut<T>> {
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= self.most {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(NotPut::Full(item));
        }
        self.sender.send(item).map_err(|_| NotPut::Closed)
    }
}

impl<T> Queue<T> {
    /// The next, for as long as it takes; `None` at the end.
    pub(super) fn next(&self) -> Option<T> {
        self.receiver.recv().ok().inspect(|_| self.taken())
    }

    /// The next, if it comes in time.
    pub(super) fn next_within(&self, limit: Duration) -> Result<T, RecvTimeoutError> {
        self.receiver.recv_timeout(limit).inspect(|_| self.taken())
    }

    /// What is there now.
    pub(super) fn present(&self) -> impl Iterator<Item = T> {
        self.receiver.try_iter().inspect(|_| self.taken())
    }

    fn taken(&self) {
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_so_many_and_again_once_they_were_taken() {
        let (entrance, queue) = queue(2);
        assert_eq!((entrance.put(1), entrance.put(2), entrance.put(3)), (Ok(()), Ok(()), Err(NotPut::Full(3))));
        assert_eq!(queue.next(), Some(1));
        assert_eq!((entrance.put(3), entrance.put(4)), (Ok(()), Err(NotPut::Full(4))));
        assert_eq!(queue.present().collect::<Vec<_>>(), [2, 3]);
        assert_eq!(queue.next_within(Duration::ZERO), Err(RecvTimeoutError::Timeout));
        drop(queue);
        assert_eq!(entrance.put(4), Err(NotPut::Closed));
    }
}

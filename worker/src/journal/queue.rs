//! The changes that wait for the thread of the journal.
//!
//! The thread sleeps until somebody waits for a change, or until what nobody waits for has lain there for its time: to wake it for
//! each change cost more than to write them. Where many changes are there, more are on their way and go along: a commit costs as much
//! as a dozen changes, and a disk more.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So many changes are those of several runs.
const A_CROWD: usize = 4;
/// How long the first of them lies, until all are written.
const TOGETHER: Duration = Duration::from_millis(5);

/// Where changes are put. Dropping it ends the queue, once it is empty.
pub(super) struct Entrance<T>(Arc<Shared<T>>);

/// Where the thread takes them. Dropping it closes the entrance.
pub(super) struct Queue<T> {
    shared: Arc<Shared<T>>,
    /// How long a change may lie that nobody waits for.
    soon: Duration,
}

/// Why a change was not put in. It comes back where there was no room.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotPut<T> {
    Full(T),
    Closed,
}

struct Shared<T> {
    waiting: Mutex<Waiting<T>>,
    /// There is a first change, or one that somebody waits for, or no entrance any more.
    bell: Condvar,
    most: usize,
}

struct Waiting<T> {
    changes: VecDeque<T>,
    /// When the first of them came.
    since: Option<Instant>,
    is_awaited: bool,
    is_closed: bool,
}

/// A queue of at most so many.
pub(super) fn queue<T>(most: usize, soon: Duration) -> (Entrance<T>, Queue<T>) {
    let waiting = Waiting { changes: VecDeque::new(), since: None, is_awaited: false, is_closed: false };
    let shared = Arc::new(Shared { waiting: Mutex::new(waiting), bell: Condvar::new(), most });
    (Entrance(Arc::clone(&shared)), Queue { shared, soon })
}

impl<T> Entrance<T> {
    /// Puts a change in. Never waits.
    pub(super) fn put(&self, change: T, is_awaited: bool) -> Result<(), NotPut<T>> {
        let mut waiting = self.0.waiting();
        if waiting.is_closed {
            return Err(NotPut::Closed);
        }
        if waiting.changes.len() >= self.0.most {
            return Err(NotPut::Full(change));
        }
        let is_first = waiting.since.is_none();
        waiting.changes.push_back(change);
        waiting.since.get_or_insert_with(Instant::now);
        let is_urgent = is_awaited && !waiting.is_awaited;
        waiting.is_awaited |= is_awaited;
        drop(waiting);
        if is_first || is_urgent {
            self.0.bell.notify_one();
        }
        Ok(())
    }
}

impl<T> Queue<T> {
    /// What is to be written now, at most so many; `None` at the end. Blocks until there is something.
    pub(super) fn due(&self, most: usize) -> Option<Vec<T>> {
        let mut waiting = self.shared.waiting();
        loop {
            let left = waiting.since.map(|since| waiting.patience(self.soon).saturating_sub(since.elapsed()));
            waiting = match left {
                Some(left) if waiting.is_closed || left.is_zero() => return Some(waiting.take(most)),
                Some(left) => self.shared.bell.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0,
                None if waiting.is_closed => return None,
                None => self.shared.bell.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// What is there now, at most so many.
    pub(super) fn present(&self, most: usize) -> Vec<T> {
        self.shared.waiting().take(most)
    }

    /// Whether nothing more will be put in.
    pub(super) fn is_closed(&self) -> bool {
        self.shared.waiting().is_closed
    }
}

impl<T> Waiting<T> {
    /// How long the first change may lie.
    fn patience(&self, soon: Duration) -> Duration {
        match (self.is_awaited, self.changes.len()) {
            (true, ..A_CROWD) => Duration::ZERO,
            (true, A_CROWD..) => TOGETHER.min(soon),
            (false, _) => soon,
        }
    }

    fn take(&mut self, most: usize) -> Vec<T> {
        let taken = self.changes.drain(..most.min(self.changes.len())).collect();
        if self.changes.is_empty() {
            self.since = None;
            self.is_awaited = false;
        }
        taken
    }
}

impl<T> Shared<T> {
    /// Poison is no concern: nothing panics while it holds the queue.
    fn waiting(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Entrance<T> {
    fn drop(&mut self) {
        self.0.waiting().is_closed = true;
        self.0.bell.notify_one();
    }
}

impl<T> Drop for Queue<T> {
    fn drop(&mut self) {
        let mut waiting = self.shared.waiting();
        waiting.is_closed = true;
        // Whoever waits for one of them is told that it was not written.
        let left = std::mem::take(&mut waiting.changes);
        drop(waiting);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    #[test]
    fn there_is_room_for_so_many_and_again_once_they_were_taken() {
        let (entrance, queue) = queue(2, LONG);
        assert_eq!([1, 2, 3].map(|change| entrance.put(change, true)), [Ok(()), Ok(()), Err(NotPut::Full(3))]);
        assert_eq!(queue.due(1), Some(vec![1]));
        assert_eq!((entrance.put(3, false), entrance.put(4, false)), (Ok(()), Err(NotPut::Full(4))));
        assert_eq!(queue.due(9), Some(vec![2, 3]), "somebody waits for one of them still");
        drop(queue);
        assert_eq!(entrance.put(4, true), Err(NotPut::Closed));
    }

    #[test]
    fn what_nobody_waits_for_lies_for_its_time_and_no_longer() {
        let (entrance, queue) = queue(9, Duration::from_millis(20));
        let began = Instant::now();
        entrance.put(1, false).unwrap();
        entrance.put(2, false).unwrap();
        assert_eq!(queue.due(9), Some(vec![1, 2]));
        assert!(began.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn what_somebody_waits_for_takes_the_rest_along_at_once() {
        let (entrance, queue) = queue(9, LONG);
        entrance.put(1, false).unwrap();
        let taking = thread::spawn(move || (queue.due(9), queue.due(9), queue.due(9)));
        entrance.put(2, true).unwrap();
        while !entrance.0.waiting().changes.is_empty() {
            thread::yield_now();
        }
        entrance.put(3, true).unwrap();
        drop(entrance);
        assert_eq!(taking.join().unwrap(), (Some(vec![1, 2]), Some(vec![3]), None));
    }

    #[test]
    fn a_crowd_is_waited_for_and_a_few_are_not() {
        let (entrance, queue) = queue(9, LONG);
        let (of_one_run, of_several) = (1..A_CROWD, 0..A_CROWD);
        of_one_run.clone().for_each(|change| entrance.put(change, true).unwrap());
        assert_eq!(queue.shared.waiting().patience(LONG), Duration::ZERO);
        assert_eq!(queue.due(9), Some(of_one_run.collect()));
        let began = Instant::now();
        of_several.clone().for_each(|change| entrance.put(change, true).unwrap());
        assert_eq!(queue.due(9), Some(of_several.collect()));
        assert!(began.elapsed() >= TOGETHER);
    }

    #[test]
    fn what_is_left_at_the_end_is_taken_at_once() {
        let (entrance, queue) = queue(9, LONG);
        entrance.put(1, false).unwrap();
        drop(entrance);
        assert_eq!((queue.due(9), queue.due(9)), (Some(vec![1]), None));
    }
}

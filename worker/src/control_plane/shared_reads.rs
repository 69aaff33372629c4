//! What many runs read at the same time is read once.
//!
//! A run may use what was read for another if the reading began after the API had shown the run: it is then as fresh as what the
//! run would have read by itself right after it was offered. So the runs of one poll share, and those of the next read anew.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

/// A run may wait long before it reads: for a claim that the API does not answer, for one. What it uses is never older.
const LONGEST: Duration = Duration::from_secs(10);

/// The answers to one kind of question.
pub(super) struct SharedReads<K, V>(Mutex<HashMap<K, Arc<Reading<V>>>>);

struct Reading<V> {
    begun: Instant,
    answer: OnceCell<V>,
}

impl<K, V> Default for SharedReads<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// The answers may hold secrets.
impl<K, V> fmt::Debug for SharedReads<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedReads").finish_non_exhaustive()
    }
}

impl<K: Eq + Hash, V: Clone> SharedReads<K, V> {
    /// The answer of a reading that began after `since`: one that is there, one that is under way, or a new one. One that fails
    /// is nobody's answer: whoever else waits reads by itself.
    ///
    /// # Errors
    /// What the reading failed with.
    pub(super) async fn get<E, F>(&self, key: K, since: Instant, read: impl FnOnce() -> F) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>>,
    {
        let reading = self.reading(key, since);
        reading.answer.get_or_try_init(read).await.cloned()
    }

    fn reading(&self, key: K, since: Instant) -> Arc<Reading<V>> {
        let now = Instant::now();
        let mut readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readings.retain(|_, reading| now - reading.begun < LONGEST);
        match readings.get(&key) {
            Some(reading) if reading.begun >= since => Arc::clone(reading),
            Some(_) | None => {
                let reading = Arc::new(Reading { begun: now, answer: OnceCell::new() });
                readings.insert(key, Arc::clone(&reading));
                reading
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::future::join_all;

    use super::*;

    /// Counts how often it is read, and answers with the count.
    #[derive(Default)]
    struct Source(AtomicU32);

    impl Source {
        async fn read(&self) -> Result<u32, Infallible> {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok(self.0.fetch_add(1, Ordering::Relaxed) + 1)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn runs_of_one_poll_share_and_those_of_the_next_read_anew() {
        let (reads, source) = (SharedReads::default(), Source::default());
        let shown = Instant::now();
        let all = join_all((0..100).map(|_| reads.get("deployment", shown, || source.read()))).await;
        assert!(all.into_iter().all(|answer| answer == Ok(1)));
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(reads.get("deployment", Instant::now(), || source.read()).await, Ok(2));
        assert_eq!(reads.get("other", shown, || source.read()).await, Ok(3));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_used_that_is_older_than_the_bound() {
        let (reads, source) = (SharedReads::default(), Source::default());
        let shown = Instant::now();
        assert_eq!(reads.get((), shown, || source.read()).await, Ok(1));
        tokio::time::sleep(LONGEST).await;
        assert_eq!(reads.get((), shown, || source.read()).await, Ok(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_nobody_elses_answer() {
        let (reads, shown) = (SharedReads::default(), Instant::now());
        assert_eq!(reads.get((), shown, || async { Err("broken") }).await, Err("broken"));
        assert_eq!(reads.get((), shown, || async { Ok::<_, &str>(7) }).await, Ok(7));
    }
}

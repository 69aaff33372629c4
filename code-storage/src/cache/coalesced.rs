//! One answer for all who asked before the question was put.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A question whose answer ages. Whoever asks gets an answer that was sought after they asked: never an older one.
#[derive(Debug)]
pub(crate) struct Coalesced<T> {
    asked: AtomicU64,
    /// The latest answer, and how many had asked when it began to be sought.
    latest: tokio::sync::Mutex<Option<(u64, T)>>,
}

impl<T> Default for Coalesced<T> {
    fn default() -> Self {
        Self { asked: AtomicU64::new(0), latest: tokio::sync::Mutex::new(None) }
    }
}

impl<T: Clone> Coalesced<T> {
    /// Seeks the answer, or takes one that others seek from now on. An error is the caller's own, and the next one seeks
    /// again; so it does if the caller is dropped.
    pub(crate) async fn get<E>(&self, seek: impl AsyncFnOnce() -> Result<T, E>) -> Result<T, E> {
        let ticket = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut latest = self.latest.lock().await;
        if let Some((covered, answer)) = &*latest
            && *covered >= ticket
        {
            return Ok(answer.clone());
        }
        let covered = self.asked.load(Ordering::SeqCst);
        let answer = seek().await?;
        *latest = Some((covered, answer.clone()));
        Ok(answer)
    }
}

/// Things that those who use them at the same time share, by name.
#[derive(Debug)]
pub(crate) struct Shared<T>(Mutex<HashMap<String, Weak<T>>>);

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Default> Shared<T> {
    pub(crate) fn get(&self, name: &str) -> Arc<T> {
        // A panic while the lock was held left a map that is whole.
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = map.get(name).and_then(Weak::upgrade) {
            return shared;
        }
        map.retain(|_, shared| shared.strong_count() > 0);
        let shared = Arc::new(T::default());
        map.insert(name.to_owned(), Arc::downgrade(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::{Coalesced, Shared};

    #[tokio::test]
    async fn those_who_ask_during_a_search_share_the_next_one() {
        let (question, started, go_on) = (Coalesced::<usize>::default(), Notify::new(), Notify::new());
        let searches = AtomicUsize::new(0);
        let seek = async || {
            let number = searches.fetch_add(1, Ordering::SeqCst) + 1;
            started.notify_one();
            go_on.notified().await;
            Ok::<_, Infallible>(number)
        };
        let late = async {
            started.notified().await;
            let rest = async { tokio::join!(question.get(seek), question.get(seek), question.get(seek)) };
            let release = async {
                go_on.notify_one();
                started.notified().await;
                go_on.notify_one();
            };
            tokio::join!(rest, release).0
        };
        let (first, (a, b, c)) = tokio::join!(question.get(seek), late);
        assert_eq!((first, a, b, c), (Ok(1), Ok(2), Ok(2), Ok(2)));
        assert_eq!(searches.into_inner(), 2);
    }

    #[tokio::test]
    async fn an_error_is_not_shared_and_a_later_question_is_sought_again() {
        let question = Coalesced::<usize>::default();
        assert_eq!(question.get(async || Err("no")).await, Err("no"));
        assert_eq!(question.get(async || Ok::<_, Infallible>(1)).await, Ok(1));
        assert_eq!(question.get(async || Ok::<_, Infallible>(2)).await, Ok(2));
    }

    #[test]
    fn what_nobody_uses_is_forgotten() {
        let shared = Shared::<String>::default();
        let one = shared.get("a");
        assert!(std::sync::Arc::ptr_eq(&one, &shared.get("a")));
        drop(one);
        drop(shared.get("b"));
        assert_eq!(shared.0.lock().unwrap().len(), 1);
    }
}

//! The few things that a run does at the same time.
//!
//! There are one to three of them, in thousands of runs. A set that knows which of its futures was woken has an allocation for each, and two
//! for itself even while it is empty; here all are polled.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::{FutureExt as _, Stream};

/// Futures whose results come in the order in which they are ready. Ends when it is empty, and goes on when something is added.
pub(super) struct Handful<T>(Vec<BoxFuture<'static, T>>);

impl<T> Default for Handful<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Handful<T> {
    /// Adds one.
    pub(super) fn push(&mut self, future: impl Future<Output = T> + Send + 'static) {
        self.0.push(Box::pin(future));
    }
}

impl<T> Stream for Handful<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let ready = |(at, future): (usize, &mut BoxFuture<'static, T>)| match future.poll_unpin(cx) {
            Poll::Ready(result) => Some((at, result)),
            Poll::Pending => None,
        };
        match self.0.iter_mut().enumerate().find_map(ready) {
            Some((at, result)) => {
                drop(self.0.remove(at));
                if self.0.is_empty() {
                    // It may be long until the next.
                    self.0 = Vec::new();
                }
                Poll::Ready(Some(result))
            }
            None if self.0.is_empty() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::StreamExt as _;
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn results_come_as_they_are_ready_and_it_goes_on_after_its_end() {
        let mut handful = Handful::default();
        assert_eq!(handful.next().await, None);
        let began = Instant::now();
        for seconds in [3, 1, 2] {
            handful.push(async move {
                sleep(Duration::from_secs(seconds)).await;
                seconds
            });
        }
        for seconds in 1..=3 {
            assert_eq!(handful.next().await, Some(seconds));
            assert_eq!(began.elapsed().as_secs(), seconds);
        }
        assert_eq!(handful.next().await, None);
        assert_eq!(handful.0.capacity(), 0, "thousands of empty ones take no memory");
        handful.push(async { 4 });
        assert_eq!(handful.next().await, Some(4));
    }
}

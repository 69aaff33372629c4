//! The body of an answer that may stop in the middle.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::Frame;

type GoOn = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Parts to send, and what is waited for before the last one.
pub(crate) struct Body {
    first: Option<Bytes>,
    wait: Option<GoOn>,
    last: Option<Bytes>,
}

impl From<Vec<u8>> for Body {
    fn from(whole: Vec<u8>) -> Self {
        Self { first: Some(whole.into()), wait: None, last: None }
    }
}

impl Body {
    /// Sends one half, and the other after `go_on`.
    pub(crate) fn in_two_parts(self, go_on: GoOn) -> Self {
        let mut whole = self.first.unwrap_or_default();
        let last = whole.split_off(whole.len() / 2);
        Self { first: Some(whole), wait: Some(go_on), last: Some(last) }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if let Some(wait) = &mut self.wait {
            if wait.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.wait = None;
        }
        Poll::Ready(self.last.take().map(|last| Ok(Frame::data(last))))
    }
}

//! What a run is told.
//!
//! A channel of the async runtime has room for 32 messages from the start, and its ends on cache lines of their own. Runs are told
//! little, and thousands of them live at the same time: this is a queue that takes no room while it is empty.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use worker_core::machine::Input;

/// An actor takes its inputs at once, so more than these mean a flood of repeated stops.
const MOST: usize = 16;

/// The actor's end.
#[derive(Debug)]
pub struct Inbox(Arc<Queue>);

/// The end of whoever has something to say.
#[derive(Clone, Debug)]
pub struct Mailbox(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    inputs: Mutex<VecDeque<Input>>,
    arrived: Notify,
}

/// Both ends.
pub fn inbox() -> (Mailbox, Inbox) {
    let queue = Arc::new(Queue::default());
    (Mailbox(Arc::clone(&queue)), Inbox(queue))
}

impl Mailbox {
    /// Puts an input in. False if there is no room for it.
    pub fn put(&self, input: Input) -> bool {
        let mut inputs = self.0.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        if inputs.len() >= MOST {
            return false;
        }
        inputs.push_back(input);
        drop(inputs);
        self.0.arrived.notify_one();
        true
    }
}

impl Inbox {
    /// The next input, as soon as there is one. Cancel safe.
    pub async fn next(&mut self) -> Input {
        loop {
            if let Some(input) = self.take() {
                return input;
            }
            // One that arrived since the look has left a permit.
            self.0.arrived.notified().await;
        }
    }

    fn take(&self) -> Option<Input> {
        self.0.inputs.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn inputs_come_in_order_also_those_of_before_the_waiting() {
        let (mailbox, mut inbox) = inbox();
        assert!(mailbox.put(Input::StopNow) && mailbox.put(Input::Detach));
        assert_eq!(inbox.next().await, Input::StopNow);
        // A future that is given up takes nothing along.
        assert_eq!(inbox.next().now_or_never(), Some(Input::Detach));
        assert_eq!(inbox.next().now_or_never(), None);
        let waiting = tokio::spawn(async move { inbox.next().await });
        assert!(mailbox.put(Input::Killed));
        assert_eq!(waiting.await.unwrap(), Input::Killed);
    }

    #[test]
    fn a_flood_is_dropped() {
        let (mailbox, mut inbox) = inbox();
        let put = (0..MOST + 5).filter(|_| mailbox.put(Input::StopNow)).count();
        assert_eq!(put, MOST);
        assert!((0..MOST).all(|_| inbox.next().now_or_never().is_some()));
        assert_eq!(inbox.next().now_or_never(), None);
    }
}

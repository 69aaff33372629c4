//! How many runs of a pool may be live at a time.

use tokio::sync::watch;

/// A limit that can be changed while the pool is served. Runs that are live when it is lowered stay.
#[derive(Clone, Debug)]
pub struct SlotLimit(watch::Sender<Option<usize>>);

impl SlotLimit {
    /// At most so many; none is no limit.
    pub fn new(most: Option<usize>) -> Self {
        Self(watch::Sender::new(most))
    }

    /// The limit now.
    pub fn get(&self) -> Option<usize> {
        *self.0.borrow()
    }

    /// Changes it.
    pub fn set(&self, most: Option<usize>) {
        self.0.send_replace(most);
    }
}

//! The open websockets, so that they can be closed from outside.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;
use uuid::Uuid;

/// Why a websocket is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::api) struct Close {
    /// The code.
    pub(in crate::api) code: u16,
    /// The reason; may be empty.
    pub(in crate::api) reason: String,
}

/// The server goes away and may be back.
const SERVICE_RESTART: u16 = 1012;

/// The open websockets. Clones share it.
#[derive(Clone, Default)]
pub(in crate::api) struct Registry {
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    sockets: HashMap<Uuid, (String, oneshot::Sender<Close>)>,
    stopped: bool,
}

impl Registry {
    /// Enters a websocket; the receiver tells when it is to close.
    pub(super) fn enter(&self, id: Uuid, path: &str) -> oneshot::Receiver<Close> {
        let (sender, receiver) = oneshot::channel();
        let mut open = self.lock();
        if open.stopped {
            tell(sender, restart());
        } else {
            open.sockets.insert(id, (path.to_owned(), sender));
        }
        receiver
    }

    pub(super) fn leave(&self, id: Uuid) {
        self.lock().sockets.remove(&id);
    }

    /// Closes all websockets of a path, and returns how many.
    pub(in crate::api) fn close(&self, path: &str, close: &Close) -> usize {
        let mut open = self.lock();
        let ids: Vec<Uuid> = open.sockets.iter().filter(|(_, (of, _))| of == path).map(|(id, _)| *id).collect();
        let senders = ids.iter().filter_map(|id| open.sockets.remove(id));
        senders.map(|(_, sender)| tell(sender, close.clone())).count()
    }

    /// Closes all, and every one that is opened from now on.
    pub(in crate::api) fn stop(&self) {
        let mut open = self.lock();
        open.stopped = true;
        for (_, (_, sender)) in open.sockets.drain() {
            tell(sender, restart());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn restart() -> Close {
    Close { code: SERVICE_RESTART, reason: String::new() }
}

/// A receiver that is gone belongs to a websocket that is closed already.
fn tell(sender: oneshot::Sender<Close>, close: Close) {
    drop(sender.send(close));
}

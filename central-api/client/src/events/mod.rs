//! Emission of events.

mod delivering;
mod outbox;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use central_api_wire::event::Event;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::delivery::Progress;
use outbox::Outbox;

/// Sends events to the API, in order and in the background. Events are best effort: no failure of theirs delays or fails
/// anything else.
///
/// One websocket is opened with the first event and kept. Events that were not confirmed when it breaks are sent again on
/// the next one; the server tells repeats by their id. They wait in a bounded queue (10 000 events, 32 MiB), of which the oldest are dropped, with
/// a warning that counts them. Where the websocket is refused, events go by `POST /events`; where that is refused too,
/// they are dropped, with one warning.
///
/// Cheap to clone; all clones feed one task.
#[derive(Clone)]
pub struct EventEmitter(Arc<Shared>);

struct Shared {
    outbox: Mutex<Outbox>,
    wake: Notify,
    progress: Progress,
}

impl Shared {
    /// Poison is no concern: no method of the outbox panics half-way.
    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventEmitter {
    /// Spawns the task that sends. It ends once `stop` is cancelled and everything was confirmed, or 5 s after `stop`; what
    /// is left then is counted in a warning. Whoever starts it waits for the handle.
    pub fn start(client: Client, stop: CancellationToken) -> (Self, JoinHandle<()>) {
        let shared = Arc::new(Shared { outbox: Mutex::default(), wake: Notify::new(), progress: Progress::new() });
        let task = tokio::spawn(delivering::deliver(client, Arc::clone(&shared), stop));
        (Self(shared), task)
    }

    /// Queues an event. Never waits.
    #[expect(clippy::needless_pass_by_value, reason = "an event is handed over, as a log line is")]
    pub fn emit(&self, event: Event) {
        match serde_json::to_string(&event) {
            Ok(json) => {
                self.0.outbox().push(json);
                self.0.wake.notify_one();
            }
            Err(error) => tracing::warn!(%error, event = event.event, "an event could not be encoded and is dropped"),
        }
    }

    /// Waits until every event that was emitted before was confirmed or given up. False if that takes longer than `limit`.
    pub async fn flush(&self, limit: Duration) -> bool {
        let last = self.0.outbox().flush();
        self.0.wake.notify_one();
        self.0.progress.reaches(last, limit).await
    }
}

impl fmt::Debug for EventEmitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventEmitter").finish_non_exhaustive()
    }
}

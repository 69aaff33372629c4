//! Emission of events.

mod delivering;
mod outbox;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use central_api_wire::event::Event;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::delivery::{Feed, Moves};
use crate::spool::Spool;
use outbox::Outbox;

/// Sends events to the API, in order and in the background. Events are best effort: no failure of theirs delays or fails
/// anything else.
///
/// One websocket is opened with the first event and kept. Events that were not confirmed when it breaks are sent again on
/// the next one; the server tells repeats by their id. They wait in a bounded queue (10 000 events, 32 MiB), and while the
/// API does not take them in a [`Spool`], where they outlive the process. Of both the oldest are dropped when it is full, with a
/// warning that counts them. Where the websocket is refused, events go by `POST /events`; where that is refused too,
/// they are dropped, with one warning.
///
/// Cheap to clone; all clones feed one task.
#[derive(Clone)]
pub struct EventEmitter(Arc<Feed<Outbox>>);

impl EventEmitter {
    /// Spawns the task that sends. It ends once `stop` is cancelled and everything was confirmed, or is in the spool while
    /// the API does not take it, or 3 s after `stop`; what is left then goes to the spool, or is counted in a warning. Whoever
    /// starts it waits for the handle. What is in the spool already is sent first.
    pub fn start(client: Client, stop: CancellationToken, spool: Option<Spool>) -> (Self, JoinHandle<()>) {
        let spooled = spool.as_ref().map_or(0, Spool::lines);
        let feed = Arc::new(Feed::new(Outbox::new(spooled)));
        let task = tokio::spawn(delivering::deliver(client, Arc::clone(&feed), spool, stop));
        (Self(feed), task)
    }

    /// Queues an event. Never waits.
    #[expect(clippy::needless_pass_by_value, reason = "an event is handed over, as a log line is")]
    pub fn emit(&self, event: Event) {
        match serde_json::to_string(&event) {
            Ok(json) => {
                self.0.queue().push(json);
                self.0.wake.notify_one();
            }
            Err(error) => tracing::warn!(%error, event = event.event, "an event could not be encoded and is dropped"),
        }
    }

    /// How the delivery is.
    pub fn moves(&self) -> Moves {
        Moves { waits: !self.0.queue().is_empty(), count: self.0.progress.moves() }
    }

    /// Waits until every event that was emitted before was confirmed or given up. False if that takes longer than `limit`.
    pub async fn flush(&self, limit: Duration) -> bool {
        let last = self.0.queue().flush();
        self.0.wake.notify_one();
        self.0.progress.reaches(last, limit).await
    }
}

impl fmt::Debug for EventEmitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventEmitter").finish_non_exhaustive()
    }
}

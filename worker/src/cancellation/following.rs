//! Following one stream of events.

use central_api_client::{EventsOut, StreamError};
use central_api_wire::event::Event;
use jiff::Timestamp;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use worker_core::ids::{RunId, WorkPoolId};

use super::asking::Prompts;
use super::filter::{announcement, cancelled_run};
use super::looks::Looks;
use super::observer::{LONGEST_QUESTION, Observer, PickUpEvents};
use crate::run::ErrorChain;

/// Why a stream is not followed any more.
pub(super) enum Ended {
    /// We stop.
    Stopped,
    /// The stream is about a pool that another one has replaced.
    PoolReplaced,
    /// The server closed it in good order.
    Closed,
    /// It broke, or there never was one.
    Broken(StreamError),
}

impl Observer {
    /// Follows a stream to its end. Looks that are not done by then are dropped: a question follows every end.
    pub(super) async fn follow(
        &self,
        mut stream: EventsOut,
        pool: WorkPoolId,
        prompts: &Prompts,
        stop: &CancellationToken,
    ) -> Ended {
        let mut looks = Looks::default();
        let replaced = self.view.replaced(pool);
        tokio::pin!(replaced);
        let ended = loop {
            tokio::select! {
                () = stop.cancelled() => break Ended::Stopped,
                () = &mut replaced => break Ended::PoolReplaced,
                () = looks.one_ended() => {}
                next = stream.next() => match next {
                    Ok(Some(event)) => {
                        self.announce(&event);
                        let begun = self.live_run(&event).map(|run| looks.begin(run, || self.look_at(run, prompts)));
                        if begun == Some(false) {
                            prompts.ask_soon();
                        }
                    }
                    Ok(None) => return Ended::Closed,
                    Err(error) => return Ended::Broken(error),
                },
            }
        };
        stream.close().await;
        ended
    }

    fn announce(&self, event: &Event) {
        let Some(PickUpEvents { announcements, queues }) = &self.pick_up else { return };
        if let Some(announcement) = announcement(event, queues, Timestamp::now()) {
            announcements.add(announcement);
        }
    }

    fn live_run(&self, event: &Event) -> Option<RunId> {
        cancelled_run(event).filter(|run| self.live.contains(self.pool, *run))
    }

    /// Reads a run and tells it to stop if it is to be cancelled. That it could not be read says nothing about the run: a
    /// broken API must not end what nobody cancelled.
    async fn look_at(&self, run: RunId, prompts: &Prompts) -> RunId {
        match timeout(LONGEST_QUESTION, self.client.flow_run(run)).await {
            Ok(Ok(current)) => self.react(&current),
            Ok(Err(error)) if error.is_not_found() => {}
            Ok(Err(error)) => {
                tracing::debug!(%run, "said to be cancelled and not readable: {}", ErrorChain(&error));
                prompts.ask_soon();
            }
            Err(_) => prompts.ask_soon(),
        }
        run
    }
}

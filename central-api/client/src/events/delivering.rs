//! The task that sends events.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::outbox::Outbox;
use crate::backoff::Backoff;
use crate::client::Client;
use crate::delivery::{Feed, Outage, pause, too_late};
use crate::error::ApiError;
use crate::spool::{Spool, Spooling};
use crate::websocket::{EventsIn, StreamError};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Prefect's own client confirms as often.
const CONFIRM_EVERY_EVENTS: usize = 700;
const CONFIRM_EVERY: Duration = Duration::from_secs(30);
/// Connections in a row that took events and confirmed none: then the events are at fault, and are given up.
const MOST_FRUITLESS: u32 = 10;
const POST_EVENTS: usize = 100;

/// Sends until the stop, and then what is left, for a bounded time.
pub(super) async fn deliver(client: Client, feed: Arc<Feed<Outbox>>, spool: Option<Spool>, stop: CancellationToken) {
    let mut delivery = Delivery {
        backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE, client.shared.retry.jitter_factor),
        client,
        spooling: Spooling::new(Arc::clone(&feed), spool),
        feed: Arc::clone(&feed),
        stop: stop.clone(),
        way: Way::Websocket,
        fruitless: 0,
        most_posted: POST_EVENTS,
        outage: Outage::new("events"),
    };
    tokio::select! {
        () = delivery.run() => {}
        () = too_late(&stop) => {}
    }
    let is_told = matches!(delivery.way, Way::Nowhere);
    feed.queue().close();
    delivery.spooling.finish().await;
    let dropped = feed.queue().abandon();
    if dropped > 0 && !is_told {
        tracing::warn!(dropped, "events were dropped because the worker ends and the API did not take them");
    }
    feed.progress.end();
}

#[derive(Clone, Copy)]
enum Way {
    Websocket,
    Post,
    /// The API takes no events at all.
    Nowhere,
}

/// How a connection ended.
enum End {
    /// The stop has come and everything was confirmed.
    Finished,
    Broken(StreamError),
}

struct Delivery {
    client: Client,
    feed: Arc<Feed<Outbox>>,
    spooling: Spooling<Outbox>,
    stop: CancellationToken,
    way: Way,
    backoff: Backoff,
    fruitless: u32,
    most_posted: usize,
    outage: Outage,
}

impl Delivery {
    /// Ends when the stop has come and nothing waits, or all of it on disk while the API does not take it.
    async fn run(&mut self) {
        while self.wait_for_events().await {
            let was_stopped = self.stop.is_cancelled();
            self.spooling.keep_up().await;
            match self.way {
                Way::Websocket => self.connect().await,
                Way::Post => self.post().await,
                Way::Nowhere => self.give_up(u64::MAX).await,
            }
            if was_stopped && self.may_end_undelivered() {
                return;
            }
        }
    }

    /// True when there are events; false when there will never be any.
    async fn wait_for_events(&self) -> bool {
        loop {
            if !self.feed.queue().is_empty() {
                return true;
            }
            tokio::select! {
                biased;
                () = self.feed.wake.notified() => {}
                () = self.stop.cancelled() => return !self.feed.queue().is_empty(),
            }
        }
    }

    fn may_end_undelivered(&self) -> bool {
        self.stop.is_cancelled() && self.feed.progress.is_failing() && self.spooling.holds_everything()
    }

    async fn give_up(&self, number: u64) {
        let settled = self.feed.queue().given_up(number);
        self.feed.progress.settle(settled);
        self.spooling.keep_up().await;
    }

    async fn connect(&mut self) {
        self.feed.queue().forget_sent();
        let mut has_confirmed = false;
        let error = match self.spooling.meanwhile(self.client.connect_events_in()).await {
            Ok(socket) => match self.talk(socket, &mut has_confirmed).await {
                End::Finished => return,
                End::Broken(error) => error,
            },
            Err(error) => error,
        };
        if has_confirmed {
            // It worked: whatever ended it, the next connection is opened at once, if there is anything to send.
            tracing::debug!(%error, "the event stream ended");
            return;
        }
        if error.is_refusal() {
            tracing::info!(%error, "the event stream is refused; events go by HTTP");
            self.way = Way::Post;
            return;
        }
        self.outage.failed(&error);
        self.give_up_after_many_fruitless_connections().await;
        let delay = self.backoff.next_delay();
        self.wait_after_failure(delay).await;
    }

    async fn wait_after_failure(&self, delay: Duration) {
        self.feed.progress.set_failing(true);
        self.spooling.keep_up().await;
        if !self.may_end_undelivered() {
            self.spooling.meanwhile(pause(delay, &self.stop)).await;
        }
    }

    async fn confirmed(&mut self, number: u64) {
        self.outage.over();
        self.feed.progress.set_failing(false);
        self.backoff.reset();
        let settled = self.feed.queue().confirmed(number);
        self.feed.progress.settle(settled);
        self.spooling.keep_up().await;
    }

    async fn give_up_after_many_fruitless_connections(&mut self) {
        let sent_to = self.feed.queue().sent_to();
        if sent_to == 0 {
            return;
        }
        self.fruitless += 1;
        if self.fruitless >= MOST_FRUITLESS {
            tracing::warn!("the event stream breaks whenever these events are sent; they are dropped");
            self.fruitless = 0;
            self.give_up(sent_to).await;
        }
    }

    async fn talk(&mut self, mut socket: EventsIn, has_confirmed: &mut bool) -> End {
        match self.send_and_confirm(&mut socket, has_confirmed).await {
            Ok(()) => {
                socket.close().await;
                End::Finished
            }
            Err(error) => End::Broken(error),
        }
    }

    /// Ends well when the stop has come and everything was confirmed.
    async fn send_and_confirm(&mut self, socket: &mut EventsIn, has_confirmed: &mut bool) -> Result<(), StreamError> {
        let mut confirm_at = None;
        let mut unconfirmed = 0;
        loop {
            self.spooling.keep_up().await;
            let sent = self.send_waiting(socket).await?;
            // Counted over many passes: what is not confirmed is kept in memory.
            unconfirmed += sent;
            if sent > 0 {
                confirm_at.get_or_insert_with(|| Instant::now() + CONFIRM_EVERY);
            }
            let stopping = self.stop.is_cancelled();
            // The first time at once: a server may accept a socket only to drop it.
            let is_wanted = !*has_confirmed
                || stopping
                || unconfirmed >= CONFIRM_EVERY_EVENTS
                || confirm_at.is_some_and(|at| at <= Instant::now())
                || self.feed.queue().wants_confirmation();
            if is_wanted && confirm_at.is_some() {
                self.confirm(socket).await?;
                *has_confirmed = true;
                confirm_at = None;
                unconfirmed = 0;
                continue;
            }
            if stopping && self.feed.queue().is_empty() {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = self.feed.wake.notified() => {}
                () = self.stop.cancelled(), if !stopping => {}
                () = sleep_until(confirm_at.unwrap_or_else(Instant::now)), if confirm_at.is_some() => {}
                error = socket.idle() => return Err(error),
            }
        }
    }

    /// Sends what waits, up to the number after which to confirm. Returns how many were sent.
    async fn send_waiting(&self, socket: &mut EventsIn) -> Result<usize, StreamError> {
        let mut sent = 0;
        while sent < CONFIRM_EVERY_EVENTS {
            let next = self.feed.queue().next_unsent();
            let Some((number, event)) = next else { break };
            // Before the await: what was perhaps sent must not be taken for new.
            self.feed.queue().sent(number);
            socket.send_text(event).await?;
            sent += 1;
        }
        Ok(sent)
    }

    async fn confirm(&mut self, socket: &mut EventsIn) -> Result<(), StreamError> {
        let sent_to = self.feed.queue().sent_to();
        self.spooling.meanwhile(socket.confirm()).await?;
        self.fruitless = 0;
        self.confirmed(sent_to).await;
        Ok(())
    }

    async fn post(&mut self) {
        let batch = self.feed.queue().batch(self.most_posted);
        let Some((last, body)) = batch else { return };
        match self.spooling.meanwhile(self.client.create_events(body.into())).await {
            Ok(()) => {
                self.most_posted = POST_EVENTS;
                self.confirmed(last).await;
            }
            // One event spoils the whole array: the next try has one only.
            Err(ApiError::Refused { status: 400 | 413 | 422, .. }) if self.most_posted > 1 => self.most_posted = 1,
            Err(error @ ApiError::Refused { status: 400 | 413 | 422, .. }) => {
                tracing::warn!(%error, "the API does not take an event; it is dropped");
                self.give_up(last).await;
            }
            Err(error) if !error.is_transient() || error.is_unknown_path() => {
                tracing::warn!(%error, "the API takes no events; none are sent any more");
                self.feed.progress.set_failing(false);
                self.way = Way::Nowhere;
            }
            Err(error) => {
                self.outage.failed(&error);
                let usual = self.backoff.next_delay();
                self.wait_after_failure(error.retry_after().unwrap_or(usual)).await;
            }
        }
    }
}

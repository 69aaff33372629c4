//! The task that sends events.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::backoff::Backoff;
use crate::client::Client;
use crate::delivery::{Outage, pause, too_late};
use crate::error::ApiError;
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
pub(super) async fn deliver(client: Client, shared: Arc<Shared>, stop: CancellationToken) {
    let mut delivery = Delivery {
        backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE, client.shared.retry.jitter_factor),
        client,
        shared: Arc::clone(&shared),
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
    let dropped = shared.outbox().close();
    if dropped > 0 && !is_told {
        tracing::warn!(dropped, "events were dropped because the worker ends and the API did not take them");
    }
    shared.progress.end();
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
    shared: Arc<Shared>,
    stop: CancellationToken,
    way: Way,
    backoff: Backoff,
    fruitless: u32,
    most_posted: usize,
    outage: Outage,
}

impl Delivery {
    /// Ends when the stop has come and nothing waits.
    async fn run(&mut self) {
        while self.wait_for_events().await {
            match self.way {
                Way::Websocket => self.connect().await,
                Way::Post => self.post().await,
                Way::Nowhere => self.give_up(u64::MAX),
            }
        }
    }

    /// True when there are events; false when there will never be any.
    async fn wait_for_events(&self) -> bool {
        loop {
            if !self.shared.outbox().is_empty() {
                return true;
            }
            tokio::select! {
                biased;
                () = self.shared.wake.notified() => {}
                () = self.stop.cancelled() => return !self.shared.outbox().is_empty(),
            }
        }
    }

    fn give_up(&self, number: u64) {
        let settled = self.shared.outbox().given_up(number);
        self.shared.progress.settle(settled);
    }

    async fn connect(&mut self) {
        self.shared.outbox().forget_sent();
        let mut has_confirmed = false;
        let error = match self.client.connect_events_in().await {
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
        self.give_up_after_many_fruitless_connections();
        pause(self.backoff.next_delay(), &self.stop).await;
    }

    fn give_up_after_many_fruitless_connections(&mut self) {
        let sent_to = self.shared.outbox().sent_to();
        if sent_to == 0 {
            return;
        }
        self.fruitless += 1;
        if self.fruitless >= MOST_FRUITLESS {
            tracing::warn!("the event stream breaks whenever these events are sent; they are dropped");
            self.fruitless = 0;
            self.give_up(sent_to);
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
        loop {
            let sent = self.send_waiting(socket).await?;
            if sent > 0 {
                confirm_at.get_or_insert_with(|| Instant::now() + CONFIRM_EVERY);
            }
            let stopping = self.stop.is_cancelled();
            // The first time at once: a server may accept a socket only to drop it.
            let is_wanted = !*has_confirmed
                || stopping
                || sent >= CONFIRM_EVERY_EVENTS
                || confirm_at.is_some_and(|at| at <= Instant::now())
                || self.shared.outbox().wants_confirmation();
            if is_wanted && confirm_at.is_some() {
                self.confirm(socket).await?;
                *has_confirmed = true;
                confirm_at = None;
                continue;
            }
            if stopping && self.shared.outbox().is_empty() {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = self.shared.wake.notified() => {}
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
            let next = self.shared.outbox().next_unsent();
            let Some((number, event)) = next else { break };
            // Before the await: what was perhaps sent must not be taken for new.
            self.shared.outbox().sent(number);
            socket.send_text(event).await?;
            sent += 1;
        }
        Ok(sent)
    }

    async fn confirm(&mut self, socket: &mut EventsIn) -> Result<(), StreamError> {
        let sent_to = self.shared.outbox().sent_to();
        socket.confirm().await?;
        self.outage.over();
        self.backoff.reset();
        self.fruitless = 0;
        let settled = self.shared.outbox().confirmed(sent_to);
        self.shared.progress.settle(settled);
        Ok(())
    }

    async fn post(&mut self) {
        let batch = self.shared.outbox().batch(self.most_posted);
        let Some((last, body)) = batch else { return };
        match self.client.create_events(body.into()).await {
            Ok(()) => {
                self.outage.over();
                self.backoff.reset();
                self.most_posted = POST_EVENTS;
                let settled = self.shared.outbox().confirmed(last);
                self.shared.progress.settle(settled);
            }
            // One event spoils the whole array: the next try has one only.
            Err(ApiError::Refused { status: 400 | 413 | 422, .. }) if self.most_posted > 1 => self.most_posted = 1,
            Err(error @ ApiError::Refused { status: 400 | 413 | 422, .. }) => {
                tracing::warn!(%error, "the API does not take an event; it is dropped");
                self.give_up(last);
            }
            Err(error) if !error.is_transient() || error.is_unknown_path() => {
                tracing::warn!(%error, "the API takes no events; none are sent any more");
                self.way = Way::Nowhere;
            }
            Err(error) => {
                self.outage.failed(&error);
                let usual = self.backoff.next_delay();
                pause(error.retry_after().unwrap_or(usual), &self.stop).await;
            }
        }
    }
}

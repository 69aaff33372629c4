//! The queue of events: which are sent next, and which are still to be confirmed. No I/O.

use crate::spool::{Backlog, Spoolable};

const MOST_EVENTS: usize = 10_000;
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// The server takes no longer events: it would close the websocket, again and again.
const LONGEST_EVENT: usize = 1_500_000;

/// Events that were not confirmed yet, oldest first, numbered from 1 without gaps.
#[derive(Debug)]
pub(super) struct Outbox {
    backlog: Backlog<String>,
    /// Sent on the present connection up to here.
    sent_to: u64,
    flush_to: u64,
    dropped: u64,
    is_closed: bool,
}

impl Outbox {
    /// With so many events in the spool.
    pub(super) const fn new(spooled: u64) -> Self {
        Self { backlog: Backlog::new(spooled), sent_to: 0, flush_to: 0, dropped: 0, is_closed: false }
    }

    pub(super) fn push(&mut self, json: String) {
        if self.is_closed {
            return;
        }
        if json.len() > LONGEST_EVENT {
            tracing::warn!(bytes = json.len(), "an event is too long for the API and is dropped");
            return;
        }
        self.backlog.push(json);
        while self.backlog.fresh().len() > MOST_EVENTS || self.backlog.fresh_bytes() > MOST_BYTES {
            self.backlog.drop_first_fresh();
            self.count_dropped(1);
        }
    }

    fn count_dropped(&mut self, dropped: u64) {
        if self.dropped == 0 {
            tracing::warn!("too many events wait for the API; the oldest are dropped");
        }
        self.dropped += dropped;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.backlog.is_empty()
    }

    /// The first event that was not sent on the present connection, with its number.
    pub(super) fn next_unsent(&self) -> Option<(u64, String)> {
        let settled = self.backlog.settled();
        let sent_before = self.sent_to.max(settled);
        let index = usize::try_from(sent_before - settled).ok()?;
        self.backlog.front().get(index).map(|event| (sent_before + 1, event.clone()))
    }

    pub(super) fn sent(&mut self, number: u64) {
        self.sent_to = self.sent_to.max(number);
    }

    pub(super) const fn sent_to(&self) -> u64 {
        self.sent_to
    }

    /// A new connection knows nothing of the old one.
    pub(super) fn forget_sent(&mut self) {
        self.sent_to = 0;
    }

    /// Events up to this number have arrived. Returns the number up to which everything is settled.
    pub(super) fn confirmed(&mut self, number: u64) -> u64 {
        self.settle(number);
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            tracing::warn!(dropped, "events were dropped while the API did not take them");
        }
        self.backlog.settled()
    }

    fn settle(&mut self, number: u64) -> u64 {
        let before = self.backlog.settled();
        while self.backlog.settled() < number && self.backlog.pop().is_some() {}
        self.backlog.settled() - before
    }

    /// Events up to this number will never be taken. Returns the number up to which everything is settled.
    pub(super) fn given_up(&mut self, number: u64) -> u64 {
        self.dropped += self.settle(number);
        self.backlog.settled()
    }

    /// At most so many of the first events as a JSON array, with the number of the last.
    pub(super) fn batch(&self, most: usize) -> Option<(u64, String)> {
        let events: Vec<&str> = self.backlog.front().iter().take(most.max(1)).map(String::as_str).collect();
        let last = self.backlog.settled().saturating_add(u64::try_from(events.len()).ok()?);
        (!events.is_empty()).then(|| (last, format!("[{}]", events.join(","))))
    }

    /// Somebody waits for everything so far. Returns the number of the last event.
    pub(super) fn flush(&mut self) -> u64 {
        self.flush_to = self.backlog.last();
        self.flush_to
    }

    /// Whether an event was sent and not confirmed, and somebody waits for it, or those behind it in the spool do.
    pub(super) fn wants_confirmation(&self) -> bool {
        let settled = self.backlog.settled();
        let is_awaited = self.flush_to > settled || (self.backlog.is_spooled() && self.next_unsent().is_none());
        is_awaited && self.sent_to > settled
    }

    /// Takes in nothing more.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// Gives up what is in memory only. Returns how many events were dropped, with those that were not told yet.
    pub(super) fn abandon(&mut self) -> u64 {
        while self.backlog.drop_first_fresh().is_some() {
            self.dropped += 1;
        }
        std::mem::take(&mut self.dropped)
    }
}

impl Spoolable for Outbox {
    const WHAT: &'static str = "events";

    type Entry = String;

    fn backlog(&self) -> &Backlog<String> {
        &self.backlog
    }

    fn backlog_mut(&mut self) -> &mut Backlog<String> {
        &mut self.backlog
    }

    fn entry(json: String) -> String {
        json
    }

    fn count_dropped(&mut self, lines: Vec<String>) {
        Self::count_dropped(self, u64::try_from(lines.len()).unwrap_or(u64::MAX));
    }

    /// Never while one that is in memory only is to be confirmed, or it would be sent again.
    fn is_crowded(&self) -> bool {
        let fresh = self.backlog.fresh().len();
        fresh > MOST_EVENTS / 2 && self.sent_to <= self.backlog.settled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(events: usize) -> Outbox {
        let mut outbox = Outbox::new(0);
        (1..=events).for_each(|number| outbox.push(number.to_string()));
        outbox
    }

    fn send_all(outbox: &mut Outbox) -> Vec<String> {
        let mut sent = Vec::new();
        while let Some((number, event)) = outbox.next_unsent() {
            outbox.sent(number);
            sent.push(event);
        }
        sent
    }

    #[test]
    fn what_was_not_confirmed_is_sent_again_on_the_next_connection() {
        let mut outbox = outbox(4);
        assert_eq!(send_all(&mut outbox), ["1", "2", "3", "4"]);
        assert_eq!(outbox.confirmed(2), 2);
        outbox.forget_sent();
        outbox.push("5".to_owned());
        assert_eq!(send_all(&mut outbox), ["3", "4", "5"]);
    }

    #[test]
    fn the_oldest_are_dropped_when_it_is_full_and_numbers_stay_right() {
        let mut outbox = outbox(3);
        send_all(&mut outbox);
        (0..MOST_EVENTS).for_each(|_| outbox.push("x".to_owned()));
        assert_eq!(outbox.dropped, 3);
        let (number, event) = outbox.next_unsent().unwrap();
        assert_eq!((number, event.as_str()), (4, "x"));
        assert_eq!(outbox.confirmed(3), 3, "confirming what was dropped changes nothing");
        assert_eq!(outbox.backlog.fresh().len(), MOST_EVENTS);
    }

    #[test]
    fn confirmation_is_wanted_only_for_what_was_sent() {
        let mut outbox = outbox(2);
        assert_eq!(outbox.flush(), 2);
        assert!(!outbox.wants_confirmation());
        outbox.sent(1);
        assert!(outbox.wants_confirmation());
        outbox.confirmed(2);
        assert!(!outbox.wants_confirmation());
    }

    #[test]
    fn what_was_read_back_is_confirmed_before_anything_behind_it_is_sent() {
        let mut outbox = Outbox::new(3);
        outbox.push("4".to_owned());
        assert!(outbox.next_unsent().is_none(), "it was not read back yet");
        assert!(!outbox.wants_confirmation());
        for (read_back, expected) in [(vec!["1", "2"], 2), (vec!["3"], 3)] {
            outbox.backlog.read(read_back.iter().map(|json| (*json).to_owned()));
            assert_eq!(send_all(&mut outbox), read_back);
            assert!(outbox.wants_confirmation());
            assert_eq!(outbox.confirmed(outbox.sent_to()), expected);
        }
        assert_eq!(send_all(&mut outbox), ["4"]);
        assert!(!outbox.wants_confirmation(), "nobody waits for it");
    }

    #[test]
    fn a_batch_for_http_is_an_array_of_the_first() {
        let outbox = outbox(3);
        assert_eq!(outbox.batch(2), Some((2, "[1,2]".to_owned())));
        assert_eq!(Outbox::new(0).batch(2), None);
    }

    #[test]
    fn a_closed_outbox_counts_what_was_in_it() {
        let mut outbox = outbox(3);
        outbox.given_up(1);
        outbox.close();
        outbox.push("4".to_owned());
        assert_eq!(outbox.abandon(), 3);
        assert!(outbox.is_empty());
    }
}

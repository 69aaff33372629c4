//! The bounded queue of events: which are sent next, and which are still to be confirmed. No I/O.

use std::collections::VecDeque;

const MOST_EVENTS: usize = 10_000;
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// The server takes no longer events: it would close the websocket, again and again.
const LONGEST_EVENT: usize = 1_500_000;

/// Events that were not confirmed yet, oldest first, numbered from 1 without gaps.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    events: VecDeque<String>,
    bytes: usize,
    /// Number of the event before the first.
    before_first: u64,
    /// Sent on the present connection up to here.
    sent_to: u64,
    flush_to: u64,
    dropped: u64,
    is_closed: bool,
}

impl Outbox {
    pub(super) fn push(&mut self, json: String) {
        if self.is_closed {
            return;
        }
        if json.len() > LONGEST_EVENT {
            tracing::warn!(bytes = json.len(), "an event is too long for the API and is dropped");
            return;
        }
        self.bytes += json.len();
        self.events.push_back(json);
        while self.events.len() > MOST_EVENTS || self.bytes > MOST_BYTES {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if self.remove_first() {
            if self.dropped == 0 {
                tracing::warn!("too many events wait for the API; the oldest are dropped");
            }
            self.dropped += 1;
        }
    }

    fn remove_first(&mut self) -> bool {
        let Some(event) = self.events.pop_front() else { return false };
        self.bytes -= event.len();
        self.before_first += 1;
        true
    }

    fn last(&self) -> u64 {
        self.before_first.saturating_add(u64::try_from(self.events.len()).unwrap_or(u64::MAX))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The first event that was not sent on the present connection, with its number.
    pub(super) fn next_unsent(&self) -> Option<(u64, String)> {
        let sent_before = self.sent_to.max(self.before_first);
        let index = usize::try_from(sent_before - self.before_first).ok()?;
        self.events.get(index).map(|event| (sent_before + 1, event.clone()))
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
        while self.before_first < number && self.remove_first() {}
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            tracing::warn!(dropped, "events were dropped while the API did not take them");
        }
        self.before_first
    }

    /// Events up to this number will never be taken. Returns the number up to which everything is settled.
    pub(super) fn given_up(&mut self, number: u64) -> u64 {
        let before = self.before_first;
        while self.before_first < number && self.remove_first() {}
        self.dropped += self.before_first - before;
        self.before_first
    }

    /// At most so many of the first events as a JSON array, with the number of the last.
    pub(super) fn batch(&self, most: usize) -> Option<(u64, String)> {
        let events: Vec<&str> = self.events.iter().take(most.max(1)).map(String::as_str).collect();
        let last = self.before_first.saturating_add(u64::try_from(events.len()).ok()?);
        (!events.is_empty()).then(|| (last, format!("[{}]", events.join(","))))
    }

    /// Somebody waits for everything so far. Returns the number of the last event.
    pub(super) fn flush(&mut self) -> u64 {
        self.flush_to = self.last();
        self.flush_to
    }

    /// Whether somebody waits for an event that was sent and not confirmed.
    pub(super) fn wants_confirmation(&self) -> bool {
        self.flush_to > self.before_first && self.sent_to > self.before_first
    }

    /// Takes in nothing more. Returns how many events were dropped: what still waits, and what was not told yet.
    pub(super) fn close(&mut self) -> u64 {
        self.is_closed = true;
        self.bytes = 0;
        let waiting = u64::try_from(self.events.drain(..).count()).unwrap_or(u64::MAX);
        waiting.saturating_add(std::mem::take(&mut self.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(events: usize) -> Outbox {
        let mut outbox = Outbox::default();
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
        assert_eq!(outbox.events.len(), MOST_EVENTS);
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
    fn a_batch_for_http_is_an_array_of_the_first() {
        let outbox = outbox(3);
        assert_eq!(outbox.batch(2), Some((2, "[1,2]".to_owned())));
        assert_eq!(Outbox::default().batch(2), None);
    }

    #[test]
    fn a_closed_outbox_counts_what_was_in_it() {
        let mut outbox = outbox(3);
        outbox.given_up(1);
        assert_eq!(outbox.close(), 3);
        outbox.push("4".to_owned());
        assert!(outbox.is_empty());
    }
}

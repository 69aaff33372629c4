//! What waits for the API, in order, and where it is. No I/O.

use std::collections::VecDeque;

/// Entries that wait, oldest first: those that were read back from the spool, then those that are only there, then those in
/// memory only. They are numbered from 1, and never change places.
#[derive(Debug)]
pub(crate) struct Backlog<E> {
    read_back: VecDeque<E>,
    /// How many are only in the spool.
    spooled: u64,
    /// How many are on their way there.
    moving: u64,
    /// How many were lost behind the first. Their numbers are settled with what stands before them.
    lost: u64,
    fresh: VecDeque<E>,
    fresh_bytes: usize,
    /// How many of those that were read back are settled, and still in the spool.
    to_confirm: u64,
    settled: u64,
}

impl<E: AsRef<str>> Backlog<E> {
    /// With so many in the spool.
    pub(crate) const fn new(spooled: u64) -> Self {
        Self {
            read_back: VecDeque::new(),
            spooled,
            moving: 0,
            lost: 0,
            fresh: VecDeque::new(),
            fresh_bytes: 0,
            to_confirm: 0,
            settled: 0,
        }
    }

    pub(crate) fn push(&mut self, entry: E) {
        self.fresh_bytes += entry.as_ref().len();
        self.fresh.push_back(entry);
    }

    /// What may be sent now. What is in memory only waits until nothing is in the spool.
    pub(crate) fn front(&self) -> &VecDeque<E> {
        if self.is_spooled() { &self.read_back } else { &self.fresh }
    }

    /// Whether anything waits in the spool, read back or not.
    pub(crate) fn is_spooled(&self) -> bool {
        self.spooled > 0 || self.moving > 0 || self.has_read_back()
    }

    pub(crate) fn has_read_back(&self) -> bool {
        !self.read_back.is_empty()
    }

    pub(crate) const fn fresh(&self) -> &VecDeque<E> {
        &self.fresh
    }

    pub(crate) const fn fresh_bytes(&self) -> usize {
        self.fresh_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.is_spooled() && self.fresh.is_empty()
    }

    /// The number up to which everything was delivered or given up.
    pub(crate) const fn settled(&self) -> u64 {
        self.settled
    }

    /// The number of the last entry.
    pub(crate) fn last(&self) -> u64 {
        self.last_spooled() + self.lost + count(&self.fresh)
    }

    fn last_spooled(&self) -> u64 {
        self.settled + count(&self.read_back) + self.spooled + self.moving
    }

    /// The number of the last entry like this, or a greater one where it is not known what lies in the spool; 0 if there is
    /// none.
    pub(crate) fn last_like(&self, is_like: impl Fn(&E) -> bool) -> u64 {
        let place = |entries: &VecDeque<E>| {
            entries.iter().rposition(&is_like).map(|at| u64::try_from(at).unwrap_or(u64::MAX).saturating_add(1))
        };
        if let Some(place) = place(&self.fresh) {
            self.last_spooled() + self.lost + place
        } else if self.spooled > 0 || self.moving > 0 {
            self.last_spooled()
        } else {
            place(&self.read_back).map_or(0, |place| self.settled + place)
        }
    }

    /// The first entry is settled.
    pub(crate) fn pop(&mut self) -> Option<E> {
        let entry = if self.is_spooled() {
            let entry = self.read_back.pop_front()?;
            self.to_confirm += 1;
            entry
        } else {
            self.pop_fresh()?
        };
        self.settled += 1;
        self.settle_lost();
        Some(entry)
    }

    /// The first entry in memory only is lost.
    pub(crate) fn drop_first_fresh(&mut self) -> Option<E> {
        let entry = self.pop_fresh()?;
        self.lost += 1;
        self.settle_lost();
        Some(entry)
    }

    fn pop_fresh(&mut self) -> Option<E> {
        let entry = self.fresh.pop_front()?;
        self.fresh_bytes -= entry.as_ref().len();
        Some(entry)
    }

    fn settle_lost(&mut self) {
        if !self.is_spooled() {
            self.settled += std::mem::take(&mut self.lost);
        }
    }

    /// Everything in memory only, on its way to the spool.
    pub(super) fn take_fresh(&mut self) -> Vec<E> {
        self.fresh_bytes = 0;
        self.moving = count(&self.fresh);
        self.fresh.drain(..).collect()
    }

    /// So many of what was taken are in the spool, and the rest is not.
    pub(super) fn put_back(&mut self, spooled: u64, rest: Vec<E>) {
        self.moving = 0;
        self.spooled += spooled;
        self.fresh_bytes += rest.iter().map(|entry| entry.as_ref().len()).sum::<usize>();
        for entry in rest.into_iter().rev() {
            self.fresh.push_front(entry);
        }
    }

    /// The first of what is in the spool.
    pub(crate) fn read(&mut self, entries: impl IntoIterator<Item = E>) {
        self.read_back.extend(entries);
        self.spooled = self.spooled.saturating_sub(count(&self.read_back));
    }

    /// The spool holds so many beyond what was read back; there were more, perhaps, which are lost.
    pub(super) fn set_spooled(&mut self, spooled: u64) {
        self.lost += self.spooled.saturating_sub(spooled);
        self.spooled = spooled;
        self.settle_lost();
    }

    /// How many settled ones the spool must forget, asked once.
    pub(super) fn take_to_confirm(&mut self) -> u64 {
        std::mem::take(&mut self.to_confirm)
    }

    pub(super) fn count_read_back(&self) -> u64 {
        count(&self.read_back)
    }

    pub(super) fn count_spooled(&self) -> u64 {
        count(&self.read_back) + self.spooled
    }

    pub(super) fn wants_reading(&self) -> bool {
        self.spooled > 0 && !self.has_read_back()
    }

    /// Whether the disk has something to do for it, besides taking what is fresh.
    pub(super) fn wants_disk(&self) -> bool {
        self.to_confirm > 0 || self.moving > 0 || self.wants_reading()
    }
}

fn count<E>(entries: &VecDeque<E>) -> u64 {
    u64::try_from(entries.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog(spooled: u64, fresh: &[&'static str]) -> Backlog<&'static str> {
        let mut backlog = Backlog::new(spooled);
        for entry in fresh {
            backlog.push(*entry);
        }
        backlog
    }

    #[test]
    fn what_is_in_the_spool_goes_before_what_is_in_memory() {
        let mut backlog = backlog(3, &["d"]);
        assert!(backlog.front().is_empty(), "it was not read back yet");
        assert_eq!(backlog.pop(), None);
        backlog.read(["a", "b"]);
        assert_eq!((backlog.pop(), backlog.pop(), backlog.pop()), (Some("a"), Some("b"), None));
        assert_eq!((backlog.settled(), backlog.last(), backlog.take_to_confirm()), (2, 4, 2));
        backlog.read(["c"]);
        assert_eq!((backlog.pop(), backlog.pop(), backlog.settled()), (Some("c"), Some("d"), 4));
        assert_eq!(backlog.take_to_confirm(), 1, "what was never there need not be forgotten there");
    }

    #[test]
    fn what_is_spooled_keeps_its_number() {
        let mut backlog = backlog(0, &["a", "b", "c"]);
        assert_eq!(backlog.last_like(|entry| *entry == "b"), 2);
        let taken = backlog.take_fresh();
        assert_eq!((taken.len(), backlog.fresh_bytes(), backlog.last()), (3, 0, 3));
        assert!(backlog.front().is_empty(), "what is being moved is not sent");
        backlog.push("d");
        backlog.put_back(2, vec!["c"]);
        assert_eq!((backlog.fresh_bytes(), backlog.last()), (2, 4));
        assert_eq!(backlog.last_like(|entry| *entry == "c"), 3);
        assert_eq!(backlog.last_like(|entry| *entry == "a"), 2, "it is in the spool, and may be the last there");
        backlog.read(["a", "b"]);
        assert_eq!(backlog.last_like(|entry| *entry == "a"), 1);
        assert_eq!(backlog.last_like(|entry| *entry == "x"), 0);
    }

    #[test]
    fn numbers_of_lost_entries_are_settled_with_those_before_them() {
        let mut backlog = backlog(2, &["c", "d"]);
        backlog.read(["a"]);
        backlog.set_spooled(0);
        assert_eq!(backlog.drop_first_fresh(), Some("c"));
        assert_eq!((backlog.settled(), backlog.last()), (0, 4));
        backlog.pop();
        assert_eq!((backlog.settled(), backlog.last()), (3, 4));
        assert_eq!((backlog.pop(), backlog.settled()), (Some("d"), 4));
    }
}

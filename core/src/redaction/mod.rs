//! Keeping secrets out of texts: the one mechanism for logs, states, events and errors.
//!
//! A [`Redactor`] is made from secrets and looks for each in every form in which programs print one: as it is, line by line, in
//! base64 wherever it stands in what was encoded, percent-encoded, and escaped as in JSON. What it finds is replaced by
//! [`MASK`]; finds that overlap are replaced together, so that nothing of either is left. A text may come in pieces
//! ([`Stream`]): a secret that lies across their borders is found too, and no more is held back than the longest form.
//!
//! Whoever makes one says how short a secret may be to be looked for: short texts occur by chance.

mod forms;
mod stream;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

pub use stream::Stream;

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// Finds secrets in texts. Holds them, so `Debug` shows none. Cheap to clone.
#[derive(Clone, Default)]
pub struct Redactor {
    /// `None` finds nothing.
    finder: Option<AhoCorasick>,
    longest: usize,
}

impl Redactor {
    /// Looks for these secrets, except those of fewer than `shortest` bytes.
    pub fn new<'s>(secrets: impl IntoIterator<Item = &'s str>, shortest: usize) -> Self {
        let sought = forms::of_all(secrets, shortest);
        let longest = sought.iter().map(String::len).max().unwrap_or(0);
        // Finds may overlap. The automaton that would be chosen for few forms takes a KiB for each of their bytes. There are
        // fewer forms than it can number.
        let kind = Some(AhoCorasickKind::ContiguousNFA);
        let finder = AhoCorasick::builder().match_kind(MatchKind::Standard).kind(kind).build(&sought).ok();
        Self { finder: finder.filter(|_| !sought.is_empty()), longest }
    }

    /// The text without secrets.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let found = self.find(text.as_bytes());
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut redacted = String::with_capacity(text.len());
        let mut at = 0;
        for secret in found {
            redacted.push_str(text.get(at..secret.start).unwrap_or_default());
            redacted.push_str(MASK);
            at = secret.end;
        }
        redacted.push_str(text.get(at..).unwrap_or_default());
        Cow::Owned(redacted)
    }

    /// The same for a text that comes in pieces.
    pub fn stream(&self) -> Stream<'_> {
        Stream::new(self)
    }

    /// Where secrets are, in order and apart from each other.
    fn find(&self, text: &[u8]) -> Vec<Range<usize>> {
        let Some(finder) = &self.finder else { return Vec::new() };
        let mut found: Vec<Range<usize>> = finder.find_overlapping_iter(text).map(|find| find.range()).collect();
        found.sort_unstable_by_key(|range| range.start);
        joined(found)
    }
}

/// Ranges in the order of their beginnings, those that overlap made one.
fn joined(ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let mut joined: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

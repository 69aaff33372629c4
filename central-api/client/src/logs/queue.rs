//! The bounded queue of log lines: which are sent next, and which are lost. No I/O; time comes in as a value.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use central_api_wire::log::LogLine;
use jiff::Timestamp;
use tokio::time::Instant;
use worker_core::ids::RunId;

const MOST_LINES: usize = 20_000;
const MOST_BYTES: usize = 32 * 1024 * 1024;
const WARNING: u8 = 30;

/// When there is something to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Now,
    At(Instant),
    Never,
}

struct Entry {
    number: u64,
    run: Option<RunId>,
    json: String,
    queued: Instant,
    /// Tells of losses. Its own loss is not told, or the API refusing it would be told for ever.
    is_notice: bool,
}

/// The lines that were not delivered yet, oldest first. Those of a batch stay until the batch is settled, so a failed try
/// needs no undoing.
pub(super) struct Queue {
    entries: VecDeque<Entry>,
    bytes: usize,
    last_number: u64,
    flush_to: u64,
    lost: BTreeMap<RunId, u64>,
    lost_of_no_run: u64,
    batch_bytes: usize,
    interval: Duration,
    is_closed: bool,
}

impl Queue {
    pub(super) const fn new(batch_bytes: usize, interval: Duration) -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            last_number: 0,
            flush_to: 0,
            lost: BTreeMap::new(),
            lost_of_no_run: 0,
            batch_bytes,
            interval,
            is_closed: false,
        }
    }

    /// Adds a line, or counts it as lost. True if whoever sends should look again: this is the first line that waits, or
    /// enough do now.
    pub(super) fn push(&mut self, run: Option<RunId>, json: String, now: Instant) -> bool {
        if self.is_closed {
            tracing::warn!(?run, "a log line came after the end of shipping and is lost");
            return false;
        }
        let is_full = self.entries.len() >= MOST_LINES || self.bytes + json.len() > MOST_BYTES;
        if is_full && !self.entries.is_empty() {
            self.count_lost(run);
            return false;
        }
        self.append(run, json, now, false);
        self.entries.len() == 1 || self.bytes >= self.batch_bytes
    }

    fn append(&mut self, run: Option<RunId>, json: String, queued: Instant, is_notice: bool) {
        self.last_number += 1;
        self.bytes += json.len();
        self.entries.push_back(Entry { number: self.last_number, run, json, queued, is_notice });
    }

    fn count_lost(&mut self, run: Option<RunId>) {
        match run {
            Some(run) => *self.lost.entry(run).or_default() += 1,
            None => self.lost_of_no_run += 1,
        }
    }

    /// Makes everything that waits due, and returns the number of the last of it.
    pub(super) fn flush_all(&mut self) -> u64 {
        self.flush_to = self.last_number;
        self.last_number
    }

    /// Makes what waits due up to the last line of a run, and returns its number; 0 if there is none.
    pub(super) fn flush_run(&mut self, run: RunId) -> u64 {
        let last = self.entries.iter().rev().find(|entry| entry.run == Some(run)).map_or(0, |entry| entry.number);
        self.flush_to = self.flush_to.max(last);
        last
    }

    pub(super) fn due(&self) -> Due {
        match self.entries.front() {
            None => Due::Never,
            Some(_) if self.bytes >= self.batch_bytes => Due::Now,
            Some(first) if first.number <= self.flush_to => Due::Now,
            Some(first) => Due::At(first.queued + self.interval),
        }
    }

    /// The next batch as a JSON array, and how many lines it has: as many as fit, but one at least, and no more than
    /// `most`. None if nothing waits.
    pub(super) fn batch(&self, most: usize) -> Option<(usize, Vec<u8>)> {
        let mut body = vec![b'['];
        let mut lines = 0;
        for entry in self.entries.iter().take(most.max(1)) {
            if lines > 0 {
                if body.len() + entry.json.len() > self.batch_bytes {
                    break;
                }
                body.push(b',');
            }
            body.extend_from_slice(entry.json.as_bytes());
            lines += 1;
        }
        body.push(b']');
        (lines > 0).then_some((lines, body))
    }

    /// The first lines were delivered. Returns the number up to which everything is settled.
    pub(super) fn delivered(&mut self, lines: usize, now: Instant) -> u64 {
        self.remove(lines, now, false)
    }

    /// The first lines will never be taken by the API: they are lost.
    pub(super) fn refused(&mut self, lines: usize, now: Instant) -> u64 {
        self.remove(lines, now, true)
    }

    fn remove(&mut self, lines: usize, now: Instant, are_lost: bool) -> u64 {
        let mut settled = 0;
        for entry in self.entries.drain(..lines.min(self.entries.len())).collect::<Vec<_>>() {
            self.bytes -= entry.json.len();
            settled = entry.number;
            if are_lost && !entry.is_notice {
                self.count_lost(entry.run);
            }
        }
        // There is room again, and no line was taken in since the first loss: the notice stands where the lost lines did.
        self.tell_losses(now);
        settled
    }

    fn tell_losses(&mut self, now: Instant) {
        for (run, lost) in std::mem::take(&mut self.lost) {
            tracing::warn!(%run, lost, "lines of a run's log were lost");
            if let Ok(json) = serde_json::to_string(&notice(run, lost)) {
                self.append(Some(run), json, now, true);
            }
        }
        match std::mem::take(&mut self.lost_of_no_run) {
            0 => {}
            lost => tracing::warn!(lost, "log lines of the worker were lost"),
        }
    }

    /// Takes in nothing more. Returns how many lines were lost: what still waits, and what was not told yet.
    pub(super) fn close(&mut self) -> u64 {
        self.is_closed = true;
        self.bytes = 0;
        let waiting = u64::try_from(self.entries.drain(..).count()).unwrap_or(u64::MAX);
        std::mem::take(&mut self.lost)
            .into_values()
            .fold(waiting, u64::saturating_add)
            .saturating_add(self.lost_of_no_run)
    }
}

fn notice(run: RunId, lost: u64) -> LogLine {
    LogLine {
        name: "prefect.flow_runs.worker".to_owned(),
        level: WARNING,
        message: format!("Log lines lost here because the API did not take them: {lost}"),
        timestamp: Timestamp::now(),
        flow_run_id: Some(run),
        worker_id: None,
    }
}

#[cfg(test)]
mod tests;

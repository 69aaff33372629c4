//! The queue of log lines: which are sent next, and which are lost. No I/O; time comes in as a value.

use std::collections::BTreeMap;
use std::time::Duration;

use central_api_wire::log::LogLine;
use jiff::Timestamp;
use tokio::time::Instant;
use worker_core::ids::RunId;

use crate::spool::{Backlog, Spoolable};

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

pub(super) struct Entry {
    run: Option<RunId>,
    json: String,
    /// None for what was read back from the spool: it has waited long enough.
    queued: Option<Instant>,
    /// Tells of losses. Its own loss is not told, or the API refusing it would be told for ever.
    is_notice: bool,
}

impl AsRef<str> for Entry {
    fn as_ref(&self) -> &str {
        &self.json
    }
}

/// Lines of a run that were lost.
#[derive(Default)]
struct Loss {
    lines: u64,
    /// When the last was written, if that is known and past. Lines are shown in the order of their times.
    at: Option<Timestamp>,
}

/// The lines that were not delivered yet, oldest first. Those of a batch stay until the batch is settled, so a failed try
/// needs no undoing.
pub(super) struct Queue {
    backlog: Backlog<Entry>,
    flush_to: u64,
    lost: BTreeMap<RunId, Loss>,
    lost_of_no_run: u64,
    batch_bytes: usize,
    interval: Duration,
    is_closed: bool,
}

impl Queue {
    /// With so many lines in the spool.
    pub(super) const fn new(batch_bytes: usize, interval: Duration, spooled: u64) -> Self {
        Self {
            backlog: Backlog::new(spooled),
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
        let waiting = self.backlog.fresh().len();
        let is_full = waiting >= MOST_LINES || self.backlog.fresh_bytes() + json.len() > MOST_BYTES;
        if is_full && waiting > 0 {
            self.count_lost(run);
            return false;
        }
        self.backlog.push(Entry { run, json, queued: Some(now), is_notice: false });
        waiting == 0 || self.backlog.fresh_bytes() >= self.batch_bytes
    }

    fn count_lost(&mut self, run: Option<RunId>) {
        match run {
            Some(run) => self.lost.entry(run).or_default().lines += 1,
            None => self.lost_of_no_run += 1,
        }
    }

    /// Makes everything that waits due, and returns the number of the last of it.
    pub(super) fn flush_all(&mut self) -> u64 {
        self.flush_to = self.backlog.last();
        self.flush_to
    }

    /// Makes what waits due up to the last line of a run, and returns its number; 0 if there is none.
    pub(super) fn flush_run(&mut self, run: RunId) -> u64 {
        let last = self.backlog.last_like(|entry| entry.run == Some(run));
        self.flush_to = self.flush_to.max(last);
        last
    }

    pub(super) fn due(&self) -> Due {
        let is_due = self.backlog.is_spooled()
            || self.backlog.fresh_bytes() >= self.batch_bytes
            || self.backlog.settled() < self.flush_to;
        match self.backlog.front().front().map(|first| first.queued) {
            None if !self.backlog.is_spooled() => Due::Never,
            Some(Some(queued)) if !is_due => Due::At(queued + self.interval),
            _ => Due::Now,
        }
    }

    /// The next batch as a JSON array, and how many lines it has: as many as fit, but one at least, and no more than
    /// `most`. None if nothing waits.
    pub(super) fn batch(&self, most: usize) -> Option<(usize, Vec<u8>)> {
        let mut body = vec![b'['];
        let mut lines = 0;
        for entry in self.backlog.front().iter().take(most.max(1)) {
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
        for entry in (0..lines).map_while(|_| self.backlog.pop()).collect::<Vec<_>>() {
            if are_lost && !entry.is_notice {
                self.count_lost(entry.run);
            }
        }
        let settled = self.backlog.settled();
        // There is room again, and no line was taken in since the first loss: the notice stands where the lost lines did.
        self.tell_losses(now);
        settled
    }

    fn tell_losses(&mut self, now: Instant) {
        for (run, lost) in std::mem::take(&mut self.lost) {
            tracing::warn!(%run, lost = lost.lines, "lines of a run's log were lost");
            if let Ok(json) = serde_json::to_string(&notice(run, &lost)) {
                self.backlog.push(Entry { run: Some(run), json, queued: Some(now), is_notice: true });
            }
        }
        match std::mem::take(&mut self.lost_of_no_run) {
            0 => {}
            lost => tracing::warn!(lost, "log lines of the worker were lost"),
        }
    }

    /// Takes in nothing more. What was lost is told now or never.
    pub(super) fn close(&mut self, now: Instant) {
        self.is_closed = true;
        self.tell_losses(now);
    }

    /// Gives up what is in memory only. Returns how many lines that loses.
    pub(super) fn abandon(&mut self) -> u64 {
        let dropped = std::iter::from_fn(|| self.backlog.drop_first_fresh()).filter(|entry| !entry.is_notice);
        u64::try_from(dropped.count()).unwrap_or(u64::MAX)
    }
}

impl Spoolable for Queue {
    const WHAT: &'static str = "log lines";

    type Entry = Entry;

    fn backlog(&self) -> &Backlog<Entry> {
        &self.backlog
    }

    fn backlog_mut(&mut self) -> &mut Backlog<Entry> {
        &mut self.backlog
    }

    fn entry(json: String) -> Entry {
        let run = serde_json::from_str::<LogLine>(&json).ok().and_then(|line| line.flow_run_id);
        Entry { run, json, queued: None, is_notice: false }
    }

    fn count_dropped(&mut self, lines: Vec<String>) {
        for line in lines {
            let line = serde_json::from_str::<LogLine>(&line).ok();
            let run = line.as_ref().and_then(|line| line.flow_run_id);
            self.count_lost(run);
            if let Some(loss) = run.and_then(|run| self.lost.get_mut(&run)) {
                loss.at = loss.at.max(line.map(|line| line.timestamp));
            }
        }
    }

    fn is_crowded(&self) -> bool {
        self.backlog.fresh().len() > MOST_LINES / 2 || self.backlog.fresh_bytes() > MOST_BYTES / 2
    }
}

fn notice(run: RunId, lost: &Loss) -> LogLine {
    LogLine {
        name: "prefect.flow_runs.worker".to_owned(),
        level: WARNING,
        message: format!("Log lines lost here because the API did not take them: {}", lost.lines),
        timestamp: lost.at.unwrap_or_else(Timestamp::now),
        flow_run_id: Some(run),
        worker_id: None,
    }
}

#[cfg(test)]
mod tests;

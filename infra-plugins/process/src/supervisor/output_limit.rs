//! Looking after the size of the output files.

use std::time::{Duration, Instant};

use infra_contract::LogStream;

use crate::folder::RunFolder;
use crate::output_file::{self, SIZE_LIMIT};
use crate::relayed::Relayed;

/// Between two looks at files that grow fast or are large, and at such that do not.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
const LONGEST_INTERVAL: Duration = Duration::from_secs(10);

/// When the files of a run are looked at the next time.
#[derive(Debug)]
pub(super) struct OutputLimit {
    folder: RunFolder,
    interval: Duration,
    next_look: Instant,
}

impl OutputLimit {
    pub(super) fn of(folder: &RunFolder) -> Self {
        let next_look = Instant::now() + SHORTEST_INTERVAL;
        Self { folder: folder.clone(), interval: SHORTEST_INTERVAL, next_look }
    }

    pub(super) const fn deadline(&self) -> Instant {
        self.next_look
    }

    pub(super) fn advance(&mut self, now: Instant) {
        if now >= self.next_look {
            self.look(now);
        }
    }

    /// Looks at the files, and frees what exceeds the limit.
    pub(super) fn look(&mut self, now: Instant) {
        let relayed = Relayed::read(&self.folder);
        let bound = |stream| output_file::bound(&self.folder, stream, relayed.offset(stream)).unwrap_or_default();
        let largest = bound(LogStream::Stdout).max(bound(LogStream::Stderr));
        // A quarter of the limit within the longest interval is no haste yet.
        let is_large = largest > SIZE_LIMIT / 4;
        self.interval = if is_large { SHORTEST_INTERVAL } else { (self.interval * 2).min(LONGEST_INTERVAL) };
        self.next_look = now + self.interval;
    }
}

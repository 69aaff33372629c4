//! What is known of a run outlives a failure of the machine.
//!
//! Most runs are over, and their end is in the worker's journal, before the disk would have said that it has what is written down
//! here. So nothing is synced while it is new: only what is left after a moment, because the run takes longer or the worker is away.

use std::time::{Duration, Instant};

use crate::folder::RunFolder;

/// For so long only the worker's journal knows for certain.
const MOMENT: Duration = Duration::from_secs(1);

/// Whether something is to be synced.
#[derive(Debug)]
pub(super) struct Durability {
    due: Option<Instant>,
}

impl Durability {
    /// Something was written just now.
    pub(super) fn written(now: Instant) -> Self {
        Self { due: Some(now + MOMENT) }
    }

    /// Syncs what is due.
    pub(super) fn advance(&mut self, folder: &RunFolder, now: Instant) {
        if self.due.take_if(|due| *due <= now).is_some() {
            // A disk that does not sync is no reason to give up a run; what is in its cache may yet be written.
            drop(folder.sync());
        }
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    #[test]
    fn what_is_new_is_synced_once_and_a_moment_later() {
        let folder = RunFolder::at(Utf8PathBuf::from("/nonexistent"));
        let now = Instant::now();
        let mut durability = Durability::written(now);
        durability.advance(&folder, now);
        assert_eq!(durability.deadline(), Some(now + MOMENT));
        durability.advance(&folder, now + MOMENT);
        assert_eq!(durability.deadline(), None);
    }
}

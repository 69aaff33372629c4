//! When the engine was away: containers that ended then were ended by it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

/// The last time that the engine was away. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct EngineLoss(Arc<Mutex<Option<Away>>>);

/// From when until when; not until now, if it still is.
pub(crate) type Away = (Timestamp, Option<Timestamp>);

impl EngineLoss {
    /// A call broke off, or found nobody.
    pub(crate) fn lost(&self) {
        let mut away = self.away();
        if !matches!(*away, Some((_, None))) {
            *away = Some((Timestamp::now(), None));
        }
    }

    /// A call was answered.
    pub(crate) fn answered(&self) {
        if let Some((_, back @ None)) = &mut *self.away() {
            *back = Some(Timestamp::now());
        }
    }

    pub(crate) fn last(&self) -> Option<Away> {
        *self.away()
    }

    fn away(&self) -> MutexGuard<'_, Option<Away>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_lasts_from_the_first_failure_to_the_first_answer() {
        let loss = EngineLoss::default();
        loss.answered();
        assert_eq!(loss.last(), None);
        loss.lost();
        let first = loss.last().unwrap();
        loss.lost();
        assert_eq!(loss.last(), Some(first));
        loss.answered();
        let back = loss.last().unwrap().1;
        assert!(back.is_some());
        loss.answered();
        assert_eq!(loss.last().unwrap().1, back);
        loss.lost();
        assert_eq!(loss.last().unwrap().1, None);
    }
}

//! One launch of an execution at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use worker_core::ids::LaunchKey;

/// Whose turn it is, for each execution.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<LaunchKey, Weak<AsyncMutex<()>>>>);

impl Turns {
    /// Waits until nobody else launches the execution. Cancel safe.
    pub(crate) async fn take(&self, key: &LaunchKey) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| turn.strong_count() > 0);
            let turn = turns.get(key).and_then(Weak::upgrade).unwrap_or_default();
            turns.insert(*key, Arc::downgrade(&turn));
            turn
        };
        turn.lock_owned().await
    }

    /// Whether somebody launches the execution at the moment.
    pub(crate) fn is_taken(&self, key: &LaunchKey) -> bool {
        let turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.get(key).is_some_and(|turn| turn.strong_count() > 0)
    }
}

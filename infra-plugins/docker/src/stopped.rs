//! Containers that this process stopped: an exit code of theirs says nothing about anybody else.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stopped(Arc<Mutex<HashSet<String>>>);

impl Stopped {
    pub(crate) fn note(&self, container: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(container.to_owned());
    }

    pub(crate) fn has(&self, container: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(container)
    }

    pub(crate) fn forget(&self, container: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(container);
    }
}

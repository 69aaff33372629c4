//! Whose infrastructure it is.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

/// The mark that a daemon puts on what it launches, and the marks of other daemons for which it answers since it took over
/// their records. Two daemons never answer for the same mark: what both took for their own would be ended twice.
///
/// Cheap to clone; clones share what is taken over later.
#[derive(Clone, Debug)]
pub struct Owner {
    own: Arc<str>,
    others: Arc<RwLock<BTreeSet<String>>>,
}

impl Owner {
    /// An owner by its own mark, which no other daemon has or had.
    pub fn new(own: impl Into<Arc<str>>) -> Self {
        Self { own: own.into(), others: Arc::default() }
    }

    /// The mark for what is launched.
    pub fn mark(&self) -> &str {
        &self.own
    }

    /// Whether what carries this mark is ours.
    pub fn answers_for(&self, mark: &str) -> bool {
        *mark == *self.own || self.others.read().unwrap_or_else(PoisonError::into_inner).contains(mark)
    }

    /// Answers for another mark from now on.
    pub fn take_over(&self, mark: impl Into<String>) {
        self.others.write().unwrap_or_else(PoisonError::into_inner).insert(mark.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_over_is_known_to_all_clones() {
        let owner = Owner::new("a");
        let clone = owner.clone();
        owner.take_over("b");
        assert!(clone.answers_for("a") && clone.answers_for("b") && !clone.answers_for("c"));
        assert_eq!(clone.mark(), "a");
    }
}

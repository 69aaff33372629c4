//! Waiting for a condition: level-triggered, with a bound.

use std::time::Duration;

use tokio::sync::watch;

use super::{Store, Tables};

/// The condition was not met in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not met within {bound:?}: {what}")]
pub struct NotMet {
    what: String,
    bound: Duration,
}

/// Looks at a condition at once and after every change until it finds something.
pub(crate) async fn condition_met<T>(
    mut changes: watch::Receiver<u64>,
    what: &str,
    bound: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> Result<T, NotMet> {
    let met = async {
        loop {
            changes.mark_unchanged();
            if let Some(found) = condition() {
                return found;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::time::timeout(bound, met).await.map_err(|_| NotMet { what: what.to_owned(), bound })
}

impl Store {
    /// Waits until `condition` finds something, and returns it. It is asked at once and after every change, so a condition
    /// that was met before the call is met. `what` names it in the error.
    ///
    /// The condition runs under the lock: it must not call the store.
    ///
    /// # Errors
    /// The condition was not met within `bound`.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn wait_until<T>(
        &self,
        what: &str,
        bound: Duration,
        mut condition: impl FnMut(&Tables) -> Option<T>,
    ) -> Result<T, NotMet> {
        condition_met(self.changes(), what, bound, || self.read(&mut condition)).await
    }
}

//! Waits for a change of the state, or a time.

use std::future;

use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};

/// Until the state has changed since it was last looked at, or the time has come.
pub(crate) async fn changed_or(changed: &mut Receiver<u64>, until: Option<Instant>) {
    let time = async {
        match until {
            Some(until) => sleep_until(until).await,
            None => future::pending().await,
        }
    };
    tokio::select! {
        changed = changed.changed() => if changed.is_err() {
            future::pending::<()>().await;
        },
        () = time => {}
    }
}

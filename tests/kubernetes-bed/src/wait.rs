//! Conditions that nothing announces.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Time between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Looks again and again until there is something to return, and panics when the bound is reached.
pub async fn until<T>(bound: Duration, what: impl Display, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + bound;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {} s in vain for {what}", bound.as_secs());
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

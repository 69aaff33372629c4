//! Waiting for a condition, with a bound.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::Instant;

/// Bound for what takes a moment.
pub const SOON: Duration = Duration::from_secs(20);
/// Bound for what starts a Python interpreter and imports Prefect, on a machine with other work.
pub const PATIENT: Duration = Duration::from_mins(5);

/// Time between two looks at a condition that nothing announces.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Looks again and again until there is something to return.
pub async fn until<T>(bound: Duration, what: impl Display, look: impl AsyncFnMut() -> Option<T>) -> T {
    until_every(LOOK_AGAIN, bound, what, look).await
}

/// The same for a condition that costs somebody else something to look at.
pub(super) async fn until_every<T>(
    pause: Duration,
    bound: Duration,
    what: impl Display,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + bound;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {} s in vain for {what}", bound.as_secs());
        tokio::time::sleep(pause).await;
    }
}

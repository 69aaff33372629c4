//! How long loops wait.

use std::time::Duration;

use rand::Rng;

/// Longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// An interval with ±30 % of chance, so that a fleet of workers does not ask in step.
pub fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(rand::rng().random_range(0.7..1.3))
}

/// The pause after the n-th failure in a row: 1, 2, 4 … 30 seconds, never longer than the loop's own interval, so that
/// the worker is back within one interval of the API. What the server asked for is a minimum.
pub fn after_failure(failures: u32, interval: Duration, retry_after: Option<Duration>) -> Duration {
    let doubled = Duration::from_secs(1 << failures.saturating_sub(1).min(5));
    let pause = jittered(doubled.min(LONGEST_PAUSE).min(interval.max(Duration::from_secs(1))));
    pause.max(retry_after.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_respect_the_interval_and_the_server() {
        let minute = Duration::from_mins(1);
        assert!(after_failure(1, minute, None) <= Duration::from_millis(1300));
        assert!(after_failure(u32::MAX, minute, None) <= Duration::from_secs(39));
        assert!(after_failure(9, Duration::from_secs(10), None) <= Duration::from_secs(13));
        assert!(after_failure(1, minute, Some(minute)) >= minute);
    }

    #[test]
    fn jitter_stays_within_thirty_per_cent() {
        for _ in 0..1000 {
            let paused = jittered(Duration::from_secs(10));
            assert!((7.0..13.0).contains(&paused.as_secs_f64()), "{paused:?}");
        }
    }
}

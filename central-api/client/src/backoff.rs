//! Growing delays. The only file that knows the crate of the same name, so that it can be replaced here.

use std::time::Duration;

use ::backoff::ExponentialBackoff;
use ::backoff::backoff::Backoff as _;

/// Delays that double, up to a greatest one, each varied at random so that a fleet does not fall into step.
///
/// Holds no clock and never sleeps: the caller does, with whatever timer it has.
#[derive(Debug)]
pub struct Backoff {
    delays: ExponentialBackoff,
}

impl Backoff {
    /// Starts at `first`. `jitter` is the share by which a delay varies both ways, 0 to 1; no delay exceeds `longest`.
    pub fn new(first: Duration, longest: Duration, jitter: f64) -> Self {
        let delays = ExponentialBackoff {
            current_interval: first,
            initial_interval: first,
            randomization_factor: jitter.clamp(0.0, 1.0),
            multiplier: 2.0,
            max_interval: longest,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        Self { delays }
    }

    /// The next delay. There always is one.
    pub fn next_delay(&mut self) -> Duration {
        let longest = self.delays.max_interval;
        self.delays.next_backoff().unwrap_or(longest).min(longest)
    }

    /// Starts again at the first delay, after a success.
    pub fn reset(&mut self) {
        self.delays.reset();
    }
}

/// A delay that the server asked for, varied upwards only: it is a minimum.
pub(crate) fn at_least(minimum: Duration, jitter: f64) -> Duration {
    minimum.mul_f64(1.0 + jitter.clamp(0.0, 1.0) * rand::random::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_start_again() {
        let mut backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(30), 0.0);
        let seconds: Vec<f64> = (0..6).map(|_| backoff.next_delay().as_secs_f64().round()).collect();
        assert_eq!(seconds, [2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
        backoff.reset();
        assert_eq!(backoff.next_delay().as_secs_f64().round().to_bits(), 2.0_f64.to_bits());
    }

    #[test]
    fn jitter_stays_within_its_share_and_below_the_longest() {
        for _ in 0..200 {
            let mut backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(11), 0.2);
            let delay = backoff.next_delay().as_secs_f64();
            assert!((8.0..=11.0).contains(&delay), "{delay}");
            let delay = at_least(Duration::from_secs(10), 0.2).as_secs_f64();
            assert!((10.0..=12.0).contains(&delay), "{delay}");
        }
    }
}

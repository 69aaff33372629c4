//! At most so many starts in a second.

use tokio::time::Instant;

use super::Hold;

/// A bucket of starts, filled evenly. It holds a tenth of a second's worth, so that a short pause is made up for and a long
/// one is not.
#[derive(Debug)]
pub(super) struct Rate {
    per_second: f64,
    most: f64,
    left: f64,
    at: Instant,
}

impl Rate {
    pub(super) fn new(per_second: u64, now: Instant) -> Self {
        let per_second = f64::from(u32::try_from(per_second).unwrap_or(u32::MAX));
        let most = (per_second / 10.0).max(1.0);
        Self { per_second, most, left: most, at: now }
    }

    pub(super) fn take(&mut self, now: Instant) -> Result<(), Hold> {
        let since = now.duration_since(self.at).as_secs_f64();
        self.left = since.mul_add(self.per_second, self.left).min(self.most);
        self.at = now;
        if self.left < 1.0 {
            return Err(Hold::Rate);
        }
        self.left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn taken(rate: &mut Rate, from: Instant, millis: u64) -> usize {
        (0..millis).filter(|n| rate.take(from + Duration::from_millis(*n)).is_ok()).count()
    }

    #[test]
    fn starts_are_spread_evenly_and_a_pause_saves_none_up() {
        let begin = Instant::now();
        let mut rate = Rate::new(20, begin);
        let first = taken(&mut rate, begin, 1000);
        assert!((20..=22).contains(&first), "{first}");
        let later = taken(&mut rate, begin + Duration::from_mins(1), 1000);
        assert!((20..=22).contains(&later), "{later}");
    }

    #[test]
    fn one_in_a_second_is_one_in_a_second() {
        let begin = Instant::now();
        let mut rate = Rate::new(1, begin);
        assert_eq!(taken(&mut rate, begin, 999), 1);
        assert_eq!(rate.take(begin + Duration::from_millis(1001)), Ok(()));
    }
}

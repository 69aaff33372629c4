//! How a fetch is carried out.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rand::Rng as _;

use crate::Cache;

/// The longest wait between two attempts.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(10);

/// How a fetch is carried out.
#[derive(Clone)]
pub struct FetchOptions {
    /// The most time that the fetch may take, with all attempts and waits.
    pub time_limit: Duration,
    /// The most attempts at one request, or at the rest of one object without any progress.
    pub attempts: u32,
    /// About how long to wait after the first failed attempt; it doubles, up to 10 s.
    pub first_back_off: Duration,
    /// The most objects that are fetched at a time.
    pub parallel: usize,
    /// Where objects are kept for the next run, if they are.
    pub cache: Option<Cache>,
    /// The whole environment that the flow's process would have: the worker's own with the run's on top. Credentials,
    /// endpoints, certificates and proxies are looked up here and nowhere else. May hold secrets, so `Debug` does not
    /// print it.
    pub environment: BTreeMap<String, String>,
}

impl Default for FetchOptions {
    /// Half an hour, five attempts from a quarter of a second up, 32 objects at a time.
    fn default() -> Self {
        Self {
            time_limit: Duration::from_mins(30),
            attempts: 5,
            first_back_off: Duration::from_millis(250),
            parallel: 32,
            cache: None,
            environment: BTreeMap::new(),
        }
    }
}

impl fmt::Debug for FetchOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchOptions")
            .field("time_limit", &self.time_limit)
            .field("attempts", &self.attempts)
            .field("first_back_off", &self.first_back_off)
            .field("parallel", &self.parallel)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

impl FetchOptions {
    /// A variable of the environment; an empty one counts as absent.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The wait after a number of failed attempts: from half of the full one up, so that many that were throttled
    /// together do not come back together.
    pub(super) fn back_off_after(&self, failed: u32) -> Duration {
        let doublings = failed.saturating_sub(1).min(16);
        let full = self.first_back_off.saturating_mul(1 << doublings).min(LONGEST_BACK_OFF);
        full.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

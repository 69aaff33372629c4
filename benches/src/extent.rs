//! How much is measured.

use std::time::Duration;

/// Sizes of the scenarios.
pub(crate) struct Extent {
    /// How often each figure is taken.
    pub(crate) repeat: usize,
    /// Due runs of a short command.
    pub(crate) short_runs: Vec<usize>,
    /// The most of them that Prefect's worker is given: it needs two minutes for a thousand.
    pub(crate) short_runs_of_prefect: usize,
    /// Runs that execute at the same time.
    pub(crate) live_runs: Vec<usize>,
    /// The most of them that Prefect's worker is given.
    pub(crate) live_runs_of_prefect: usize,
    /// How long an idle or a busy worker is watched.
    pub(crate) watched: Duration,
    /// How long a worker is left alone before that.
    pub(crate) settled: Duration,
    /// Runs created one by one, to see how soon each begins.
    pub(crate) pick_ups: usize,
    /// Real flows that are due at once.
    pub(crate) flows: usize,
}

impl Extent {
    /// What the figures in docs/measurements.md are taken with.
    pub(crate) fn full(repeat: usize) -> Self {
        Self {
            repeat,
            short_runs: vec![100, 1000, 5000, 20_000],
            short_runs_of_prefect: 1000,
            live_runs: vec![500, 2000, 10_000],
            live_runs_of_prefect: 500,
            watched: Duration::from_mins(1),
            settled: Duration::from_secs(15),
            pick_ups: 10,
            flows: 50,
        }
    }

    /// Shows that everything works, no more.
    pub(crate) fn quick() -> Self {
        Self {
            repeat: 1,
            short_runs: vec![50],
            short_runs_of_prefect: 50,
            live_runs: vec![20],
            live_runs_of_prefect: 20,
            watched: Duration::from_secs(3),
            settled: Duration::from_secs(3),
            pick_ups: 3,
            flows: 3,
        }
    }
}

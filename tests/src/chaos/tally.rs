//! The sum of many rounds.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::round::Report;

/// What many rounds came to.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    rounds: usize,
    runs: usize,
    executed: usize,
    kills: u32,
    mishaps: BTreeMap<&'static str, u32>,
    slowest: Duration,
    violations: Vec<(u64, Vec<String>)>,
}

impl Tally {
    /// Adds a round.
    pub fn add(&mut self, report: Report) {
        self.rounds += 1;
        self.runs += report.runs;
        self.executed += report.executed;
        self.kills += report.kills;
        for (kind, times) in report.mishaps {
            *self.mishaps.entry(kind).or_default() += times;
        }
        self.slowest = self.slowest.max(report.settled_in);
        if !report.violations.is_empty() {
            self.violations.push((report.seed, report.violations));
        }
    }

    /// Whether nothing was wrong.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: &dyn fmt::Display| writeln!(f, "| {name:<32} | {value:>9} |");
        row("rounds", &self.rounds)?;
        row("runs", &self.runs)?;
        row("runs executed", &self.executed)?;
        row("workers killed", &self.kills)?;
        for (kind, times) in &self.mishaps {
            row(kind, times)?;
        }
        row("slowest to settle (ms)", &self.slowest.as_millis())?;
        row("rounds with violations", &self.violations.len())?;
        for (seed, violations) in &self.violations {
            writeln!(f, "\nseed {seed}:\n{}", violations.join("\n"))?;
        }
        Ok(())
    }
}

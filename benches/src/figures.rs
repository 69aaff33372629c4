//! Figures and how they are shown.

use std::collections::BTreeMap;
use std::fmt;

/// Who a figure is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Column {
    /// This worker.
    Ours,
    /// `prefect worker start`.
    Prefect,
    /// A loop that does the same calls and nothing else.
    Bare,
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "`worker`",
            Self::Prefect => "`prefect worker`",
            Self::Bare => "the bare loop",
        })
    }
}

/// All figures, in the order in which they were first taken.
#[derive(Default)]
pub(crate) struct Report {
    order: Vec<String>,
    samples: BTreeMap<(String, Column), Vec<f64>>,
    remarks: Vec<String>,
    faults: Vec<String>,
    tallies: BTreeMap<Column, Tally>,
}

/// Runs that were looked at, and those of them with which something happened that must not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// All that were to be executed.
    pub(crate) runs: usize,
    /// Not executed.
    pub(crate) lost: usize,
    /// Executed more than once.
    pub(crate) doubled: usize,
    /// Said to have crashed, which none did.
    pub(crate) crashed: usize,
}

impl Report {
    /// Adds a sample.
    pub(crate) fn add(&mut self, figure: impl Into<String>, column: Column, value: f64) {
        let figure = figure.into();
        if !self.order.contains(&figure) {
            self.order.push(figure.clone());
        }
        self.samples.entry((figure, column)).or_default().push(value);
    }

    /// Adds a sentence below the table.
    pub(crate) fn remark(&mut self, remark: impl Into<String>) {
        let remark = remark.into();
        if !self.remarks.contains(&remark) {
            self.remarks.push(remark);
        }
    }

    /// Counts runs: figures of work that was not done say nothing.
    pub(crate) fn count(&mut self, who: Column, tally: Tally) {
        let sum = self.tallies.entry(who).or_default();
        sum.runs += tally.runs;
        sum.lost += tally.lost;
        sum.doubled += tally.doubled;
        sum.crashed += tally.crashed;
    }

    /// Notes that a program did not do its work. What Prefect's worker does is told and is no failure of the suite.
    pub(crate) fn wrong(&mut self, who: Column, what: &str) {
        if who == Column::Prefect {
            self.remark(format!("{who} {what}"));
        } else {
            self.faults.push(format!("{who} {what}"));
        }
    }

    /// Whether the suite has failed: a run of this worker was lost, executed twice or wrongly crashed, or work was not done.
    pub(crate) fn has_faults(&self) -> bool {
        let is_wrong = |tally: &Tally| tally.lost + tally.doubled + tally.crashed > 0;
        !self.faults.is_empty() || self.tallies.get(&Column::Ours).is_some_and(is_wrong)
    }

    /// The median of a figure.
    pub(crate) fn median(&self, figure: &str, column: Column) -> Option<f64> {
        self.of(figure, column).map(|spread| spread.median)
    }

    fn of(&self, figure: &str, column: Column) -> Option<Spread> {
        self.samples.get(&(figure.to_owned(), column)).and_then(|samples| Spread::of(samples))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| median (min – max) | `worker` | `prefect worker` | ratio | bare loop | ratio |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for figure in &self.order {
            let [ours, prefect, bare] =
                [Column::Ours, Column::Prefect, Column::Bare].map(|column| self.of(figure, column));
            let cell = |spread: &Option<Spread>| spread.as_ref().map_or_else(String::new, Spread::to_string);
            let ratio = |other: &Option<Spread>| match (&ours, other) {
                (Some(ours), Some(other)) if other.median != 0.0 => number(ours.median / other.median),
                _ => String::new(),
            };
            writeln!(
                f,
                "| {figure} | {} | {} | {} | {} | {} |",
                cell(&ours),
                cell(&prefect),
                ratio(&prefect),
                cell(&bare),
                ratio(&bare)
            )?;
        }
        writeln!(f)?;
        for remark in &self.remarks {
            writeln!(f, "- {remark}")?;
        }
        for fault in &self.faults {
            writeln!(f, "- **FAULT** {fault}")?;
        }
        writeln!(f, "\n| runs of | all | lost | executed twice | wrongly crashed |\n|---|--:|--:|--:|--:|")?;
        for (who, tally) in &self.tallies {
            writeln!(f, "| {who} | {} | {} | {} | {} |", tally.runs, tally.lost, tally.doubled, tally.crashed)?;
        }
        Ok(())
    }
}

/// A median with the smallest and the largest sample.
#[derive(Debug, PartialEq)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
    is_single: bool,
}

impl Spread {
    fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        Some(Self { median: percentile(&sorted, 50), least, most, is_single: sorted.len() == 1 })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_single {
            return write!(f, "{}", number(self.median));
        }
        write!(f, "{} ({} – {})", number(self.median), number(self.least), number(self.most))
    }
}

/// The value that so many in a hundred of the samples, which are sorted, do not exceed; of an even number of samples the
/// median is the lower middle one.
pub(crate) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        100.0.. => format!("{value:.0}"),
        10.0..100.0 => format!("{value:.1}"),
        1.0..10.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_medians_spread_and_ratios() {
        let mut report = Report::default();
        for sample in [3.0, 1.0, 2.0] {
            report.add("runs/s", Column::Ours, sample);
        }
        report.add("runs/s", Column::Prefect, 0.5);
        let shown = report.to_string();
        assert!(shown.contains("| runs/s | 2.00 (1.00 – 3.00) | 0.500 | 4.00 |  |  |"), "{shown}");
        assert!(!report.has_faults());
    }

    #[test]
    fn what_went_wrong_is_shown_and_only_that_of_this_worker_counts() {
        let mut report = Report::default();
        report.wrong(Column::Prefect, "did not end");
        report.count(Column::Prefect, Tally { runs: 2, lost: 1, ..Tally::default() });
        report.count(Column::Ours, Tally { runs: 2, ..Tally::default() });
        assert!(!report.has_faults(), "{report}");
        report.count(Column::Ours, Tally { runs: 2, crashed: 1, ..Tally::default() });
        assert!(report.has_faults(), "{report}");
        let shown = report.to_string();
        assert!(shown.contains("| `worker` | 4 | 0 | 0 | 1 |"), "{shown}");
        assert!(shown.contains("| `prefect worker` | 2 | 1 | 0 | 0 |"), "{shown}");
        let mut report = Report::default();
        report.wrong(Column::Bare, "did not end");
        assert!(report.has_faults() && report.to_string().contains("**FAULT** the bare loop did not end"), "{report}");
    }

    #[test]
    fn percentiles_are_samples() {
        let sorted: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!([50, 95, 100].map(|percent| number(percentile(&sorted, percent))), ["50.0", "95.0", "100"]);
        assert_eq!(number(percentile(&[7.0], 95)), "7.00");
    }
}

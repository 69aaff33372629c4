//! What all that was said comes to.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::report::{Found, Launch, Report};

/// Numbers of runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Tally {
    /// They would be launched.
    pub(crate) launched: u64,
    /// They would be set to Crashed.
    pub(crate) crashed: u64,
    /// Times that something could not be found out.
    pub(crate) unknown: u64,
    /// Their infrastructure was compared and does not differ.
    pub(crate) same: u64,
    /// It does.
    pub(crate) different: u64,
    /// Who would bring the code, and for how many.
    pub(crate) code: BTreeMap<String, u64>,
    /// Where they differ, and how many.
    pub(crate) differing: BTreeMap<String, u64>,
}

impl Tally {
    pub(crate) fn add(&mut self, report: &Report) {
        match &report.found {
            Found::Launch(Launch::Launched { code, .. }) => {
                self.launched += 1;
                *self.code.entry(code.clone()).or_default() += 1;
            }
            Found::Launch(Launch::Crashed { .. }) => self.crashed += 1,
            Found::Launch(Launch::Unknown { .. }) => self.unknown += 1,
            Found::Differences(differences) if differences.is_empty() => self.same += 1,
            Found::Differences(differences) => {
                self.different += 1;
                for difference in differences {
                    *self.differing.entry(difference.path.clone()).or_default() += 1;
                }
            }
        }
    }

    /// Whether nothing was found that a change of workers would change.
    pub(crate) fn is_clean(&self) -> bool {
        self.crashed == 0 && self.unknown == 0 && self.different == 0
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "{} runs would be launched, {} set to Crashed; {} could not be looked at",
            self.launched, self.crashed, self.unknown
        );
        for (code, runs) in &self.code {
            let _infallible = write!(text, "\n  {runs}: code: {code}");
        }
        let _infallible = write!(
            text,
            "\nInfrastructure of {} runs compared: {} the same, {} different",
            self.same + self.different,
            self.same,
            self.different
        );
        let mut differing: Vec<_> = self.differing.iter().collect();
        differing.sort_by_key(|(_, runs)| std::cmp::Reverse(**runs));
        for (path, runs) in differing {
            let _infallible = write!(text, "\n  {runs}: {path}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;
    use worker_core::ids::RunId;

    use super::*;
    use crate::rendering::Difference;

    fn report(found: Found) -> Report {
        Report { flow_run: RunId(Uuid::nil()), name: "r".to_owned(), state: None, found }
    }

    #[test]
    fn the_summary_counts_what_would_happen_and_where_runs_differ() {
        let launched = |code: &str| {
            report(Found::Launch(Launch::Launched { deployment: None, code: code.to_owned(), plan: Value::Null }))
        };
        let differs = |path: &str| Difference { path: path.to_owned(), ours: json!(1), theirs: json!(2) };
        let mut tally = Tally::default();
        tally.add(&launched("the worker"));
        tally.add(&report(Found::Differences(Vec::new())));
        assert!(tally.is_clean());
        tally.add(&launched("the worker"));
        tally.add(&report(Found::Launch(Launch::Crashed { reason: "x".to_owned() })));
        tally.add(&report(Found::Differences(vec![differs("command"), differs("env.A")])));
        tally.add(&report(Found::Differences(vec![differs("command")])));
        assert!(!tally.is_clean());
        insta::assert_snapshot!(tally.text(), @r"
        2 runs would be launched, 1 set to Crashed; 0 could not be looked at
          2: code: the worker
        Infrastructure of 3 runs compared: 1 the same, 2 different
          2: command
          1: env.A
        ");
    }
}

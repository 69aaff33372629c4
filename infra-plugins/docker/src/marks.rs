//! What a container's labels tell a worker that never saw it.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use worker_core::ids::{LaunchKey, RunId, TransitionId};
use worker_core::spec::ReportState;

use crate::settings::Cleanup;

/// Whose container it is.
pub(crate) const OWNER: &str = "io.prefect.worker.owner";
/// Which execution it is: both ids, separated by a slash.
pub(crate) const LAUNCH_KEY: &str = "io.prefect.worker.launch-key";
/// Flow run, as Prefect's worker labels it.
pub(crate) const FLOW_RUN_ID: &str = "io.prefect.flow-run-id";
const REPORT_STATE: &str = "io.prefect.worker.report-state";
const CANCELS_ITSELF: &str = "io.prefect.worker.cancels-itself";
const OUTPUT: &str = "io.prefect.worker.output";
const CLEANUP: &str = "io.prefect.worker.cleanup";
const HAS_SECRETS: &str = "io.prefect.worker.secrets";

/// What a worker has to know of a container to take care of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marks {
    pub(crate) key: LaunchKey,
    pub(crate) report_state: ReportState,
    /// Whether Prefect's own supervisor runs in it.
    pub(crate) cancels_itself: bool,
    /// Whether its output goes to the worker's own.
    pub(crate) stream_output: bool,
    /// Whether its output goes to the run's log.
    pub(crate) ship_output: bool,
    pub(crate) cleanup: Cleanup,
    /// Whether secrets were put into it.
    pub(crate) has_secrets: bool,
}

impl Marks {
    /// As labels.
    pub(crate) fn labels(&self, owner: &str) -> HashMap<String, String> {
        let output = match (self.stream_output, self.ship_output) {
            (true, true) => "console,run-log",
            (true, false) => "console",
            (false, true) => "run-log",
            (false, false) => "",
        };
        let report_state = match self.report_state {
            ReportState::Engine => "engine",
            ReportState::Worker => "worker",
        };
        let cleanup = match self.cleanup {
            Cleanup::Keep => "keep".to_owned(),
            Cleanup::Remove => "remove".to_owned(),
            Cleanup::After(time) => format!("ttl:{}", time.as_secs()),
        };
        HashMap::from([
            (OWNER.to_owned(), owner.to_owned()),
            (LAUNCH_KEY.to_owned(), key_value(&self.key)),
            (REPORT_STATE.to_owned(), report_state.to_owned()),
            (CANCELS_ITSELF.to_owned(), self.cancels_itself.to_string()),
            (OUTPUT.to_owned(), output.to_owned()),
            (CLEANUP.to_owned(), cleanup),
            (HAS_SECRETS.to_owned(), self.has_secrets.to_string()),
        ])
    }

    /// Of a container's labels; `None` if no worker of ours made it.
    pub(crate) fn of(labels: &HashMap<String, String>) -> Option<Self> {
        let text = |label: &str| labels.get(label).map_or("", String::as_str);
        Some(Self {
            key: read_key(labels.get(LAUNCH_KEY)?)?,
            report_state: if text(REPORT_STATE) == "worker" { ReportState::Worker } else { ReportState::Engine },
            cancels_itself: text(CANCELS_ITSELF) == "true",
            stream_output: text(OUTPUT).split(',').any(|word| word == "console"),
            ship_output: text(OUTPUT).split(',').any(|word| word == "run-log"),
            cleanup: read_cleanup(text(CLEANUP)),
            has_secrets: text(HAS_SECRETS) == "true",
        })
    }

    /// Of a container that Prefect's own worker made: enough to stop it.
    pub(crate) fn of_foreign(labels: &HashMap<String, String>) -> Option<Self> {
        let run = RunId(labels.get(FLOW_RUN_ID)?.parse().ok()?);
        Some(Self {
            key: LaunchKey { run, claim: TransitionId(Uuid::nil()) },
            report_state: ReportState::Engine,
            cancels_itself: false,
            stream_output: false,
            ship_output: false,
            cleanup: Cleanup::Keep,
            has_secrets: false,
        })
    }
}

/// The value of the label that names an execution.
pub(crate) fn key_value(key: &LaunchKey) -> String {
    format!("{}/{}", key.run.0, key.claim.0)
}

fn read_key(value: &str) -> Option<LaunchKey> {
    let (run, claim) = value.split_once('/')?;
    Some(LaunchKey { run: RunId(run.parse().ok()?), claim: TransitionId(claim.parse().ok()?) })
}

/// What cannot be read is kept: nothing is lost by that.
fn read_cleanup(value: &str) -> Cleanup {
    match value.split_once(':') {
        Some(("ttl", seconds)) => {
            seconds.parse().map_or(Cleanup::Keep, |seconds| Cleanup::After(Duration::from_secs(seconds)))
        }
        _ if value == "remove" => Cleanup::Remove,
        _ => Cleanup::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_container_is_labelled_with_is_read_again() {
        let key = LaunchKey { run: RunId(Uuid::from_u128(1)), claim: TransitionId(Uuid::from_u128(2)) };
        for cleanup in [Cleanup::Keep, Cleanup::Remove, Cleanup::After(Duration::from_hours(1))] {
            for (stream_output, ship_output) in [(true, true), (true, false), (false, true), (false, false)] {
                let report_state = if stream_output { ReportState::Worker } else { ReportState::Engine };
                let cancels_itself = stream_output != ship_output;
                let marks = Marks {
                    key,
                    report_state,
                    cancels_itself,
                    stream_output,
                    ship_output,
                    cleanup,
                    has_secrets: ship_output,
                };
                let labels = marks.labels("me");
                assert_eq!(Marks::of(&labels), Some(marks));
                assert_eq!(labels[OWNER], "me");
            }
        }
    }

    #[test]
    fn a_container_of_prefects_worker_is_known_by_its_run() {
        let run = Uuid::from_u128(7);
        let labels = HashMap::from([(FLOW_RUN_ID.to_owned(), run.to_string())]);
        assert_eq!(Marks::of(&labels), None);
        assert_eq!(Marks::of_foreign(&labels).unwrap().key.run, RunId(run));
        assert_eq!(Marks::of_foreign(&HashMap::new()), None);
    }
}

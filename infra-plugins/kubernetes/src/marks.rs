//! What a Job tells a worker that never saw it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use worker_core::ids::{LaunchKey, RunId, TransitionId};
pub(crate) use worker_core::job_configuration::labels::FLOW_RUN_ID;
use worker_core::spec::ReportState;

use crate::manifest::slug;
use crate::settings::Cleanup;

/// Label: whose Job it is.
pub(crate) const OWNER: &str = "worker.prefect.io/owner";
/// Label: id of the run. Annotation: the marks.
pub(crate) const RUN: &str = "worker.prefect.io/run";
/// Label: id of the claim.
pub(crate) const CLAIM: &str = "worker.prefect.io/claim";

/// What a worker has to know of a Job to take care of it.
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
    /// Whether it has a Secret of its own.
    #[serde(default)]
    pub(crate) has_secret: bool,
    #[serde(with = "whole_seconds", default)]
    pub(crate) image_pull_deadline: Option<Duration>,
    #[serde(with = "whole_seconds", default)]
    pub(crate) start_deadline: Option<Duration>,
    /// How long the Job may take.
    #[serde(with = "whole_seconds", default)]
    pub(crate) job_timeout: Option<Duration>,
}

impl Marks {
    /// As labels, for the Job, its pod and its Secret.
    pub(crate) fn labels(&self, owner: &str) -> BTreeMap<String, String> {
        let run = self.key.run.to_string();
        BTreeMap::from([
            (OWNER.to_owned(), owner_label(owner)),
            (RUN.to_owned(), run.clone()),
            (CLAIM.to_owned(), self.key.claim.to_string()),
            (FLOW_RUN_ID.to_owned(), run),
        ])
    }

    /// As an annotation of the Job.
    pub(crate) fn annotation(&self) -> Result<(String, String), serde_json::Error> {
        Ok((RUN.to_owned(), serde_json::to_string(self)?))
    }

    /// Of a Job's labels and annotations; `None` if no worker of ours made it.
    pub(crate) fn of(labels: &BTreeMap<String, String>, annotations: &BTreeMap<String, String>) -> Option<Self> {
        labels.get(OWNER)?;
        let run = RunId(labels.get(RUN)?.parse().ok()?);
        let claim = TransitionId(labels.get(CLAIM)?.parse().ok()?);
        let key = LaunchKey { run, claim };
        let marks: Option<Self> = annotations.get(RUN).and_then(|text| serde_json::from_str(text).ok());
        // Selectors go by the labels, so these say which execution it is.
        Some(Self { key, ..marks.unwrap_or_else(|| Self::unknown(key)) })
    }

    /// Of a Job that Prefect's own worker made: enough to stop it.
    pub(crate) fn of_foreign(labels: &BTreeMap<String, String>) -> Option<Self> {
        let run = RunId(labels.get(FLOW_RUN_ID)?.parse().ok()?);
        Some(Self::unknown(LaunchKey { run, claim: TransitionId(Uuid::nil()) }))
    }

    /// Of a Job of which nothing else is known: it is left alone.
    const fn unknown(key: LaunchKey) -> Self {
        Self {
            key,
            report_state: ReportState::Engine,
            cancels_itself: false,
            stream_output: false,
            ship_output: false,
            cleanup: Cleanup::Keep,
            has_secret: false,
            image_pull_deadline: None,
            start_deadline: None,
            job_timeout: None,
        }
    }
}

/// The mark of an owner as a label's value; a hash of it where Kubernetes would not take the mark itself.
pub(crate) fn owner_label(mark: &str) -> String {
    if !mark.is_empty() && slug::value(mark) == mark {
        return mark.to_owned();
    }
    // 32 hexadecimal digits.
    let number = Sha256::digest(mark).iter().take(16).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    format!("{number:032x}")
}

/// A length of time as its number of seconds.
mod whole_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde hands over a reference to the field")]
    pub(super) fn serialize<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        time.map(|time| time.as_secs()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::deserialize(deserializer)?.map(Duration::from_secs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks() -> Marks {
        Marks {
            key: LaunchKey { run: RunId(Uuid::from_u128(1)), claim: TransitionId(Uuid::from_u128(2)) },
            report_state: ReportState::Worker,
            cancels_itself: true,
            stream_output: false,
            ship_output: true,
            cleanup: Cleanup::Remove,
            has_secret: true,
            image_pull_deadline: Some(Duration::from_mins(5)),
            start_deadline: None,
            job_timeout: Some(Duration::from_secs(7)),
        }
    }

    #[test]
    fn what_a_job_is_marked_with_is_read_again() {
        let (marks, labels) = (marks(), marks().labels("me"));
        assert_eq!(labels[OWNER], "me");
        assert_eq!(labels[FLOW_RUN_ID], Uuid::from_u128(1).to_string());
        let annotations = BTreeMap::from([marks.annotation().unwrap()]);
        assert!(annotations[RUN].contains(r#""image_pull_deadline":300,"start_deadline":null,"job_timeout":7"#));
        assert_eq!(Marks::of(&labels, &annotations), Some(marks));
        assert_eq!(Marks::of(&BTreeMap::new(), &annotations), None);
    }

    #[test]
    fn a_job_that_lost_its_annotation_is_known_and_left_alone() {
        let (marks, labels) = (marks(), marks().labels("me"));
        for annotations in [BTreeMap::new(), BTreeMap::from([(RUN.to_owned(), "{".to_owned())])] {
            let found = Marks::of(&labels, &annotations).unwrap();
            assert_eq!((found.key, found.cleanup, found.cancels_itself), (marks.key, Cleanup::Keep, false));
        }
    }

    #[test]
    fn a_job_of_prefects_worker_is_known_by_its_run() {
        let run = Uuid::from_u128(7);
        let labels = BTreeMap::from([(FLOW_RUN_ID.to_owned(), run.to_string())]);
        assert_eq!(Marks::of(&labels, &BTreeMap::new()), None);
        let key = Marks::of_foreign(&labels).unwrap().key;
        assert_eq!(key, LaunchKey { run: RunId(run), claim: TransitionId(Uuid::nil()) });
        assert_eq!(Marks::of_foreign(&BTreeMap::new()), None);
    }

    #[test]
    fn owners_whose_mark_is_no_label_stay_apart() {
        assert_eq!(owner_label("a1b2-c3"), "a1b2-c3");
        let odd = ["a b", "a-b ", "", "a--b", &"x".repeat(64)].map(owner_label);
        for label in &odd {
            assert_eq!(slug::value(label), *label);
            assert_eq!(odd.iter().filter(|other| *other == label).count(), 1);
        }
    }
}

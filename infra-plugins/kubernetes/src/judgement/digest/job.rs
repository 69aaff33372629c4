//! What is kept of a Job.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobCondition as Condition};
use uuid::Uuid;

use super::{Moment, kept};

/// How many failed pods a Job bears if it does not say.
const DEFAULT_BACKOFF_LIMIT: i32 = 6;
/// The prefixes of labels and annotations that are kept.
const OURS: [&str; 2] = ["prefect.io/", "worker.prefect.io/"];

/// What a Job says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobConditionKind {
    Complete,
    /// It will be complete once its pods are gone.
    SuccessCriteriaMet,
    Failed,
    /// It will be failed once its pods are gone.
    FailureTarget,
    Suspended,
}

/// A condition that is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JobCondition {
    pub(crate) kind: JobConditionKind,
    pub(crate) reason: Option<Box<str>>,
    pub(crate) message: Option<Box<str>>,
    pub(crate) since: Option<Moment>,
}

impl JobCondition {
    fn of(condition: &Condition) -> Option<Self> {
        let kind = match condition.type_.as_str() {
            "Complete" => JobConditionKind::Complete,
            "SuccessCriteriaMet" => JobConditionKind::SuccessCriteriaMet,
            "Failed" => JobConditionKind::Failed,
            "FailureTarget" => JobConditionKind::FailureTarget,
            "Suspended" => JobConditionKind::Suspended,
            _ => return None,
        };
        (condition.status == "True").then(|| Self {
            kind,
            reason: kept(condition.reason.as_deref()),
            message: kept(condition.message.as_deref()),
            since: Moment::of(condition.last_transition_time.as_ref()),
        })
    }
}

/// What is kept of a Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JobDigest {
    pub(crate) uid: Box<str>,
    pub(crate) namespace: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) resource_version: Box<str>,
    /// Those of Prefect and of this worker.
    pub(crate) labels: Kept,
    /// Those of Prefect and of this worker.
    pub(crate) annotations: Kept,
    pub(crate) backoff_limit: i32,
    pub(crate) active: i32,
    pub(crate) failed: i32,
    pub(crate) succeeded: i32,
    /// Pods that are on their way out; old clusters do not say.
    pub(crate) terminating: i32,
    pub(crate) conditions: Box<[JobCondition]>,
    pub(crate) created: Option<Moment>,
    pub(crate) started: Option<Moment>,
    pub(crate) completed: Option<Moment>,
    pub(crate) deleted: Option<Moment>,
    pub(crate) is_suspended: bool,
}

impl JobDigest {
    pub(crate) fn of(job: &Job) -> Self {
        let (meta, spec, status) = (&job.metadata, job.spec.as_ref(), job.status.as_ref());
        let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        Self {
            uid: meta.uid.as_deref().unwrap_or_default().into(),
            namespace: meta.namespace.as_deref().unwrap_or_default().into(),
            name: meta.name.as_deref().unwrap_or_default().into(),
            resource_version: meta.resource_version.as_deref().unwrap_or_default().into(),
            labels: Kept::of(meta.labels.as_ref()),
            annotations: Kept::of(meta.annotations.as_ref()),
            backoff_limit: spec.and_then(|spec| spec.backoff_limit).unwrap_or(DEFAULT_BACKOFF_LIMIT),
            active: status.and_then(|status| status.active).unwrap_or(0),
            failed: status.and_then(|status| status.failed).unwrap_or(0),
            succeeded: status.and_then(|status| status.succeeded).unwrap_or(0),
            terminating: status.and_then(|status| status.terminating).unwrap_or(0),
            conditions: conditions.iter().filter_map(JobCondition::of).collect(),
            created: Moment::of(meta.creation_timestamp.as_ref()),
            started: Moment::of(status.and_then(|status| status.start_time.as_ref())),
            completed: Moment::of(status.and_then(|status| status.completion_time.as_ref())),
            deleted: Moment::of(meta.deletion_timestamp.as_ref()),
            is_suspended: spec.and_then(|spec| spec.suspend).unwrap_or(false),
        }
    }

    pub(crate) fn run_id(&self) -> Option<Uuid> {
        self.labels.get("prefect.io/flow-run-id")?.parse().ok()
    }

    pub(crate) fn condition(&self, kind: JobConditionKind) -> Option<&JobCondition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }

    /// Whether it is over, or seems to be: the server can be asked for more.
    pub(crate) fn may_be_over(&self) -> bool {
        self.is_exhausted() || self.conditions.iter().any(|condition| condition.kind != JobConditionKind::Suspended)
    }

    /// Whether no pod was made for it yet.
    pub(crate) fn is_new(&self) -> bool {
        self.active == 0 && self.failed == 0 && self.succeeded == 0 && !self.may_be_over() && self.deleted.is_none()
    }

    /// Whether it has failed more often than it may.
    pub(crate) const fn is_exhausted(&self) -> bool {
        self.failed > self.backoff_limit
    }
}

/// Labels or annotations, without the free places that a map of them would have: there are thousands of Jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept(Box<[(Box<str>, Box<str>)]>);

impl Kept {
    fn of(all: Option<&BTreeMap<String, String>>) -> Self {
        let is_ours = |key: &str| OURS.iter().any(|prefix| key.starts_with(prefix));
        let ours = all.into_iter().flatten().filter(|(key, _)| is_ours(key));
        Self(ours.map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect())
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(is, _)| **is == *key).map(|(_, value)| &**value)
    }

    pub(crate) fn to_map(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fixtures::job;
    use super::*;

    #[test]
    fn a_job_keeps_what_is_ours() {
        let job = job("modern/job-failure-target.json");
        assert_eq!(job.run_id(), Some("0f9e7f0c-3f5c-4a53-9b0e-2f1f6a1f9d11".parse().unwrap()));
        assert_eq!(job.annotations.to_map().into_keys().collect::<Vec<_>>(), ["worker.prefect.io/launch"]);
        assert!(job.condition(JobConditionKind::FailureTarget).is_some());
        assert!(job.is_exhausted());
        assert_eq!((job.backoff_limit, job.failed, job.terminating), (0, 1, 0));
    }

    #[test]
    fn a_job_that_does_not_say_bears_six_failures() {
        let job = job("1.20/job-retrying.json");
        assert_eq!(job.backoff_limit, 6);
        assert!(!job.is_exhausted());
    }
}

//! What is kept of a Kubernetes Event.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;

use super::{JobDigest, PodDigest};

/// What is kept of a Kubernetes Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HappeningDigest {
    /// The kind of what it is about.
    pub(crate) kind: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) uid: Box<str>,
    pub(crate) reason: Box<str>,
    pub(crate) message: Box<str>,
    /// When it happened first.
    pub(crate) first: Timestamp,
    /// When it happened last.
    pub(crate) last: Timestamp,
    pub(crate) is_warning: bool,
}

impl HappeningDigest {
    /// `None` for an event without any time.
    pub(crate) fn of(event: &Event) -> Option<Self> {
        let about = &event.involved_object;
        let begun = event.first_timestamp.as_ref().map(|time| time.0);
        let at = event.event_time.as_ref().map(|time| time.0);
        let made = event.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let repeated = event.series.as_ref().and_then(|series| Some(series.last_observed_time.as_ref()?.0));
        let ended = event.last_timestamp.as_ref().map(|time| time.0);
        let first = begun.or(at).or(made)?;
        Some(Self {
            kind: about.kind.as_deref().unwrap_or_default().into(),
            name: about.name.as_deref().unwrap_or_default().into(),
            uid: about.uid.as_deref().unwrap_or_default().into(),
            reason: event.reason.as_deref().unwrap_or_default().into(),
            message: event.message.as_deref().unwrap_or_default().into(),
            first,
            last: repeated.or(ended).or(at).unwrap_or(first).max(first),
            is_warning: event.type_.as_deref() == Some("Warning"),
        })
    }

    pub(crate) fn is_about_pod(&self, pod: &PodDigest) -> bool {
        self.is_about("Pod", &pod.uid, &pod.name)
    }

    pub(crate) fn is_about_job(&self, job: &JobDigest) -> bool {
        self.is_about("Job", &job.uid, &job.name)
    }

    /// Some autoscalers leave out the id.
    fn is_about(&self, kind: &str, uid: &str, name: &str) -> bool {
        &*self.kind == kind && if self.uid.is_empty() { &*self.name == name } else { &*self.uid == uid }
    }
}

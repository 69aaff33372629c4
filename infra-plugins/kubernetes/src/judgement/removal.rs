//! Who took a pod away.

use jiff::{SignedDuration, Timestamp};
use worker_core::exit::Exit;

use super::digest::PodDigest;

/// How long a pod may be there after it was to be gone, before its node counts as lost.
const GONE_LATE: SignedDuration = SignedDuration::from_secs(60);

/// Who took a pod away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// The kubelet, because the node ran short of something.
    Evicted,
    /// The scheduler or the kubelet, for a pod with more priority.
    Preempted,
    /// Somebody who drains the node.
    Drained,
    /// The node got a taint that the pod does not tolerate.
    Tainted,
    /// The node was shut down.
    NodeShutdown,
    /// The node is gone or does not answer.
    NodeLost,
}

impl Removal {
    pub(crate) fn of(pod: &PodDigest) -> Option<Self> {
        let about_node = || pod.message().is_some_and(|message| message.to_ascii_lowercase().contains("node"));
        match pod.reason() {
            Some("Evicted") => return Some(Self::Evicted),
            Some("Preempting") => return Some(Self::Preempted),
            Some("NodeLost") => return Some(Self::NodeLost),
            Some("Shutdown" | "NodeShutdown") => return Some(Self::NodeShutdown),
            Some("Terminated") if about_node() => return Some(Self::NodeShutdown),
            Some(_) | None => {}
        }
        match pod.disruption_reason()? {
            "PreemptionByScheduler" => Some(Self::Preempted),
            "EvictionByEvictionAPI" => Some(Self::Drained),
            "DeletionByTaintManager" => Some(Self::Tainted),
            "DeletionByPodGC" => Some(Self::NodeLost),
            "TerminationByKubelet" => Some(Self::Evicted),
            _ => None,
        }
    }

    pub(crate) const fn exit(self) -> Exit {
        match self {
            Self::Evicted | Self::Preempted | Self::Drained | Self::Tainted => Exit::Evicted,
            Self::NodeShutdown | Self::NodeLost => Exit::NodeLost,
        }
    }

    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::Evicted => "the pod was evicted by its node",
            Self::Preempted => "the pod was preempted by one with a higher priority",
            Self::Drained => "the pod was evicted through the eviction API, as when a node is drained",
            Self::Tainted => "the pod was evicted because its node got a taint that it does not tolerate",
            Self::NodeShutdown => "the pod's node was shut down",
            Self::NodeLost => "the pod's node is lost",
        }
    }

    /// What the cluster says about it.
    pub(crate) fn said(pod: &PodDigest) -> Option<&str> {
        pod.message().or_else(|| pod.disruption.as_ref()?.message.as_deref()).map(str::trim)
    }
}

/// Whether the node that should have ended a pod does not answer.
pub(crate) fn is_stranded(pod: &PodDigest, now: Timestamp) -> bool {
    let Some(deleted) = pod.deleted.filter(|_| !pod.phase.is_terminal() && pod.node.is_some()) else { return false };
    pod.reason() == Some("NodeLost") || now.duration_since(deleted.timestamp()) > GONE_LATE
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{at, pod};
    use super::*;

    #[test]
    fn who_took_a_pod_away_is_told_by_its_reason_or_its_disruption() {
        for (name, removal) in [
            ("1.20/pod-evicted", Some(Removal::Evicted)),
            ("modern/pod-evicted", Some(Removal::Evicted)),
            ("modern/pod-preempted", Some(Removal::Preempted)),
            ("modern/pod-critical-preempted", Some(Removal::Preempted)),
            ("modern/pod-drained", Some(Removal::Drained)),
            ("modern/pod-tainted", Some(Removal::Tainted)),
            ("modern/pod-collected", Some(Removal::NodeLost)),
            ("1.20/pod-node-lost", Some(Removal::NodeLost)),
            ("1.20/pod-node-shutdown", Some(Removal::NodeShutdown)),
            ("modern/pod-node-shutdown", Some(Removal::NodeShutdown)),
            ("modern/pod-exit-3", None),
            ("modern/pod-deleted", None),
            ("modern/pod-refused-by-node", None),
        ] {
            assert_eq!(Removal::of(&pod(&format!("{name}.json"))), removal, "{name}");
        }
    }

    #[test]
    fn a_pod_that_stays_long_after_its_time_is_stranded() {
        let stranded = pod("modern/pod-stranded.json");
        assert!(!is_stranded(&stranded, at("10:30")));
        assert!(is_stranded(&stranded, at("11:01")));
        assert!(is_stranded(&pod("1.20/pod-node-lost.json"), at("05:50")), "the cluster says so itself");
        assert!(!is_stranded(&pod("modern/pod-running.json"), at("59:59")));
        assert!(!is_stranded(&pod("modern/pod-deleted.json"), at("59:59")), "it has ended");
    }
}

//! Kinds of diagnoses.

use super::super::digest::PodDigest;
use super::upstream;

/// What is wrong, in one word. Automations match on the labels: they never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Category {
    ImagePullError,
    CrashLoopBackOff,
    OutOfMemory,
    Evicted,
    Unschedulable,
    InsufficientResources,
    NodeAffinity,
    Taint,
    /// From here on: what Prefect's observer does not see.
    InvalidImage,
    ContainerConfigError,
    ContainerStartError,
    Preempted,
    Drained,
    NodeLost,
    PodRejected,
    MountFailed,
    SandboxFailed,
    NotPlaced,
    Gated,
    Suspended,
    QuotaExceeded,
    AdmissionDenied,
    PodNotCreated,
}

impl Category {
    /// What Prefect's observer finds in a pod.
    pub(crate) fn upstream(pod: &PodDigest) -> Option<Self> {
        upstream::find(pod).map(|found| found.category)
    }

    /// Its name in events.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::ImagePullError => "ImagePullError",
            Self::CrashLoopBackOff => "CrashLoopBackOff",
            Self::OutOfMemory => "OOMKilled",
            Self::Evicted => "Evicted",
            Self::Unschedulable => "Unschedulable",
            Self::InsufficientResources => "Unschedulable.InsufficientResources",
            Self::NodeAffinity => "Unschedulable.NodeAffinity",
            Self::Taint => "Unschedulable.Taint",
            Self::InvalidImage => "InvalidImage",
            Self::ContainerConfigError => "ContainerConfigError",
            Self::ContainerStartError => "ContainerStartError",
            Self::Preempted => "Preempted",
            Self::Drained => "Drained",
            Self::NodeLost => "NodeLost",
            Self::PodRejected => "PodRejected",
            Self::MountFailed => "MountFailed",
            Self::SandboxFailed => "SandboxFailed",
            Self::NotPlaced => "NotPlaced",
            Self::Gated => "SchedulingGated",
            Self::Suspended => "Suspended",
            Self::QuotaExceeded => "QuotaExceeded",
            Self::AdmissionDenied => "AdmissionDenied",
            Self::PodNotCreated => "PodNotCreated",
        }
    }
}

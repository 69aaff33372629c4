//! What keeps a pod that has not started yet: nodes, volumes, the network.

use infra_contract::Severity;

use super::super::digest::{HappeningDigest, PodDigest, PodPhase};
use super::{Category, Diagnosis, place, said};

/// What an autoscaler said last about a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Autoscaler<'a> {
    Adds(&'a str),
    Refuses(&'a str),
}

pub(super) fn autoscaler<'a>(pod: &PodDigest, happenings: &'a [HappeningDigest]) -> Option<Autoscaler<'a>> {
    let about = happenings.iter().filter(|told| told.is_about_pod(pod));
    let told = about.filter_map(|told| {
        let says = match &*told.reason {
            "NotTriggerScaleUp" => Autoscaler::Refuses(&told.message),
            // Karpenter nominates a node that it is about to make.
            "TriggeredScaleUp" | "Nominated" => Autoscaler::Adds(&told.message),
            _ => return None,
        };
        Some((told.last, says))
    });
    told.max_by_key(|(last, _)| *last).map(|(_, says)| says)
}

pub(super) fn diagnose(pod: &PodDigest, happenings: &[HappeningDigest]) -> Option<Diagnosis> {
    if pod.phase != PodPhase::Pending || pod.deleted.is_some() {
        return None;
    }
    if pod.node.is_some() {
        return volumes(pod, happenings).or_else(|| sandbox(pod, happenings));
    }
    gated(pod).or_else(|| unplaced(pod, happenings))
}

fn newest<'a>(
    pod: &PodDigest,
    happenings: &'a [HappeningDigest],
    is_it: impl Fn(&HappeningDigest) -> bool,
) -> Option<&'a HappeningDigest> {
    let matching = happenings.iter().filter(|told| told.is_about_pod(pod) && told.is_warning && is_it(told));
    matching.max_by_key(|told| told.last)
}

fn volumes(pod: &PodDigest, happenings: &[HappeningDigest]) -> Option<Diagnosis> {
    // A kubelet also sums up what it waits for, without the cause.
    let is_mount =
        |told: &HappeningDigest| matches!(&*told.reason, "FailedMount" | "FailedAttachVolume" | "FailedMapVolume");
    let has_cause = |told: &HappeningDigest| is_mount(told) && !told.message.starts_with("Unable to attach or mount");
    let told = newest(pod, happenings, has_cause).or_else(|| newest(pod, happenings, is_mount))?;
    let fix = if told.message.contains("secret \"") {
        "Create the secret in the pod's namespace, or correct its name in the job template"
    } else if told.message.contains("configmap \"") {
        "Create the config map in the pod's namespace, or correct its name in the job template"
    } else if told.message.contains("Multi-Attach") {
        "The volume is in use on another node: wait for that pod to end, or use a volume that many nodes can mount"
    } else {
        "Check the volumes in the job template and the cluster's storage"
    };
    let what = said(format!("A volume of pod {} cannot be mounted", place(pod)), Some(&told.message));
    Some(Diagnosis::new(Category::MountFailed, Severity::Warning, &what, fix).because(Some(&told.reason)))
}

fn sandbox(pod: &PodDigest, happenings: &[HappeningDigest]) -> Option<Diagnosis> {
    let told = newest(pod, happenings, |told| &*told.reason == "FailedCreatePodSandBox")?;
    let what = said(format!("The node cannot set up pod {}", place(pod)), Some(&told.message));
    let fix = "Look at the node's network plug-in and container runtime";
    Some(Diagnosis::new(Category::SandboxFailed, Severity::Warning, &what, fix).because(Some(&told.reason)))
}

fn gated(pod: &PodDigest) -> Option<Diagnosis> {
    let words = pod.unscheduled.as_ref().filter(|words| words.reason.as_deref() == Some("SchedulingGated"))?;
    let what = said(format!("Pod {} is held back", place(pod)), words.message.as_deref());
    let fix = "A queue or another controller of the cluster has to let it go";
    Some(Diagnosis::new(Category::Gated, Severity::Warning, &what, fix).because(Some("SchedulingGated")))
}

fn unplaced(pod: &PodDigest, happenings: &[HappeningDigest]) -> Option<Diagnosis> {
    let told = newest(pod, happenings, |told| &*told.reason == "FailedScheduling")?;
    let what = said(format!("No node takes pod {}", place(pod)), Some(&told.message));
    let fix = "Check requests, node selectors and volumes in the job template against the cluster's nodes";
    Some(Diagnosis::new(Category::NotPlaced, Severity::Warning, &what, fix).because(Some(&told.reason)))
}

//! What Prefect's observer finds in a pod, in its order, and our words for it.

use infra_contract::Severity;

use super::super::digest::{ContainerDigest, HappeningDigest, PodDigest};
use super::super::image_pull;
use super::placement::{self, Autoscaler};
use super::{Category, Diagnosis, place, pull_failure, said};

pub(super) const EVICTED_FIX: &str =
    "Raise the pod's requests for what the node ran short of, so that it gets a node with enough of it";
const OUT_OF_MEMORY_FIX: &str = "Raise `memory_limit`, or make the flow use less memory";
const CRASH_LOOP_FIX: &str = "Look at the container's log for the cause";

/// What Prefect's observer finds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    pub(super) category: Category,
    container: Option<&'a ContainerDigest>,
}

pub(super) fn find(pod: &PodDigest) -> Option<Found<'_>> {
    let of_container = |judge: fn(&ContainerDigest) -> Option<Category>| {
        let found = pod.containers.iter().find_map(|container| Some((judge(container)?, container)));
        found.map(|(category, container)| Found { category, container: Some(container) })
    };
    let of_pod = |category| Found { category, container: None };
    of_container(waiting)
        .or_else(|| of_container(terminated))
        .or_else(|| unschedulable(pod).map(of_pod))
        .or_else(|| (pod.reason() == Some("Evicted")).then(|| of_pod(Category::Evicted)))
}

fn waiting(container: &ContainerDigest) -> Option<Category> {
    match container.waiting()?.0 {
        "ImagePullBackOff" | "ErrImagePull" => Some(Category::ImagePullError),
        "CrashLoopBackOff" => Some(Category::CrashLoopBackOff),
        _ => None,
    }
}

fn terminated(container: &ContainerDigest) -> Option<Category> {
    match container.terminated()?.reason()? {
        "OOMKilled" => Some(Category::OutOfMemory),
        "Evicted" => Some(Category::Evicted),
        _ => None,
    }
}

fn unschedulable(pod: &PodDigest) -> Option<Category> {
    let words = pod.unscheduled.as_ref().filter(|words| words.reason.as_deref() == Some("Unschedulable"))?;
    let message = words.message.as_deref().unwrap_or_default().to_lowercase();
    let says = |word: &str| message.contains(word);
    Some(if says("taint") {
        Category::Taint
    } else if says("affinity") || says("node selector") {
        Category::NodeAffinity
    } else if says("insufficient") {
        Category::InsufficientResources
    } else {
        Category::Unschedulable
    })
}

/// Our words for what Prefect's observer finds.
pub(super) fn explain(pod: &PodDigest, found: &Found<'_>, happenings: &[HappeningDigest]) -> Diagnosis {
    match found.container {
        Some(container) => explain_container(pod, found.category, container, happenings),
        None if found.category == Category::Evicted => {
            let what = said(format!("Pod {} was evicted by its node", place(pod)), pod.message());
            Diagnosis::new(found.category, Severity::Warning, &what, EVICTED_FIX).because(Some("Evicted"))
        }
        None => explain_placement(pod, found.category, happenings),
    }
}

fn explain_container(
    pod: &PodDigest,
    category: Category,
    container: &ContainerDigest,
    happenings: &[HappeningDigest],
) -> Diagnosis {
    if let Some(failed) = image_pull::of_container(pod, container, happenings) {
        return pull_failure(category, pod, &failed);
    }
    let subject = format!("Container `{}` of pod {}", container.name, place(pod));
    let (severity, what, fix) = if category == Category::OutOfMemory {
        let limit = container.memory_limit.as_deref().map(|limit| format!(" of {limit}")).unwrap_or_default();
        let what = format!("{subject} was killed because it used more memory than its limit{limit}");
        (Severity::Error, what, OUT_OF_MEMORY_FIX)
    } else if category == Category::Evicted {
        (Severity::Warning, format!("{subject} was evicted by its node"), EVICTED_FIX)
    } else {
        let code = container.last.as_ref().map(|last| format!(", last with exit code {}", last.code));
        let what = format!("{subject} crashes again and again{}", code.unwrap_or_default());
        (Severity::Error, what, CRASH_LOOP_FIX)
    };
    Diagnosis::new(category, severity, &what, fix).of_container(container)
}

fn explain_placement(pod: &PodDigest, category: Category, happenings: &[HappeningDigest]) -> Diagnosis {
    let message = pod.unscheduled.as_ref().and_then(|words| words.message.as_deref());
    let what = said(format!("No node takes pod {}", place(pod)), message);
    let Some(told) = placement::autoscaler(pod, happenings) else {
        let fix = placement_fix(category);
        return Diagnosis::new(category, Severity::Warning, &what, fix);
    };
    match told {
        Autoscaler::Refuses(message) => Diagnosis::new(
            category,
            Severity::Warning,
            &format!("{what} And the cluster autoscaler adds no node: {message}"),
            "Lower the requests, or raise the limits of the cluster's node groups",
        )
        .because(Some("NotTriggerScaleUp")),
        Autoscaler::Adds(message) => Diagnosis::new(
            category,
            Severity::Ok,
            &format!("{what} The cluster autoscaler adds a node: {message}"),
            "Nothing to do but to wait for the node",
        )
        .because(Some("TriggeredScaleUp")),
    }
}

fn placement_fix(category: Category) -> &'static str {
    if category == Category::InsufficientResources {
        "Lower the requests for CPU and memory, or give the cluster more nodes; an autoscaler may be on its way"
    } else if category == Category::NodeAffinity {
        "Correct the node selector or affinity in the job template, or label nodes accordingly"
    } else if category == Category::Taint {
        "Give the pod a toleration, or free nodes that have no taint"
    } else {
        "Check requests, node selectors and volumes in the job template against the cluster's nodes"
    }
}

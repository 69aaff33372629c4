//! What keeps a pod from running, or ended it, in words for the flow's author.

mod category;
mod job;
mod placement;
mod upstream;

pub(crate) use category::Category;
pub(crate) use job::diagnose_job;

use infra_contract::Severity;

use super::digest::{ContainerDigest, HappeningDigest, PodDigest, PodPhase};
use super::image_pull::{self, FailedPull};
use super::removal::Removal;

/// The longest text, in bytes.
const LONGEST: usize = 600;

/// What is wrong with a pod or Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Diagnosis {
    pub(crate) category: Category,
    pub(crate) severity: Severity,
    /// The container that it is about.
    pub(crate) container: Option<Box<str>>,
    /// What causes it, in one word; `None` while that is not known.
    pub(crate) reason: Option<Box<str>>,
    /// What is wrong and what to do about it.
    pub(crate) text: String,
    /// What to do about it.
    pub(crate) fix: &'static str,
}

impl Diagnosis {
    fn new(category: Category, severity: Severity, what: &str, fix: &'static str) -> Self {
        let what = clipped(what.trim().trim_end_matches('.'), LONGEST.saturating_sub(fix.len() + 3));
        Self { category, severity, container: None, reason: None, text: format!("{what}. {fix}."), fix }
    }

    fn of_container(mut self, container: &ContainerDigest) -> Self {
        self.container = Some(container.name.clone());
        self
    }

    fn because(mut self, reason: Option<&str>) -> Self {
        self.reason = reason.map(Box::from);
        self
    }

    /// Whether it says something else than the one that was told last: texts change with times and counts, and a cause that is
    /// not known yet is no other cause. Keep the previous one where this is no news.
    pub(crate) fn is_news(previous: Option<&Self>, now: &Self) -> bool {
        previous.is_none_or(|previous| {
            previous.category != now.category
                || previous.container != now.container
                || (now.reason.is_some() && previous.reason != now.reason)
        })
    }
}

/// What is wrong with a pod. `happenings` are the recent events about it.
pub(crate) fn diagnose(pod: &PodDigest, happenings: &[HappeningDigest]) -> Option<Diagnosis> {
    if let Some(found) = upstream::find(pod) {
        return Some(upstream::explain(pod, &found, happenings));
    }
    removal(pod)
        .or_else(|| pod.containers.iter().find_map(|container| waiting(pod, container, happenings)))
        .or_else(|| pod.containers.iter().find_map(|container| not_started(pod, container)))
        .or_else(|| rejected(pod))
        .or_else(|| placement::diagnose(pod, happenings))
}

fn removal(pod: &PodDigest) -> Option<Diagnosis> {
    let removal = Removal::of(pod).filter(|_| pod.phase != PodPhase::Succeeded)?;
    let (category, fix) = match removal {
        Removal::Evicted => (Category::Evicted, upstream::EVICTED_FIX),
        Removal::Preempted => (Category::Preempted, "Give the pod a priority class, or the cluster more room"),
        Removal::Drained => (Category::Drained, "Ask who drains the node, or protect the pod by a disruption budget"),
        Removal::Tainted => {
            (Category::Drained, "Look at the node's taints, or give the pod a toleration with `tolerationSeconds`")
        }
        Removal::NodeShutdown => (Category::NodeLost, "Keep long runs off nodes that are shut down (spot nodes)"),
        Removal::NodeLost => (Category::NodeLost, "Look at the node; keep long runs off spot nodes"),
    };
    let what = said(format!("Pod {}: {}", place(pod), removal.sentence()), Removal::said(pod));
    let reason = pod.disruption_reason().or(pod.reason());
    Some(Diagnosis::new(category, Severity::Warning, &what, fix).because(reason))
}

/// What a container waits for that Prefect's observer takes no notice of.
fn waiting(pod: &PodDigest, container: &ContainerDigest, happenings: &[HappeningDigest]) -> Option<Diagnosis> {
    if let Some(failed) = image_pull::of_container(pod, container, happenings) {
        return Some(pull_failure(Category::InvalidImage, pod, &failed));
    }
    let (reason, message) = container.waiting()?;
    let (category, what, fix) = match reason {
        "CreateContainerConfigError" | "CreateContainerError" => {
            (Category::ContainerConfigError, "cannot be made", config_fix(message))
        }
        "RunContainerError" | "StartError" | "PostStartHookError" | "PreStartHookError" => {
            (Category::ContainerStartError, "cannot be started", start_fix(message))
        }
        _ => return None,
    };
    let what = said(format!("Container `{}` of pod {} {what} ({reason})", container.name, place(pod)), Some(message));
    Some(Diagnosis::new(category, Severity::Error, &what, fix).of_container(container).because(Some(reason)))
}

/// A container that ended because it could not be started.
fn not_started(pod: &PodDigest, container: &ContainerDigest) -> Option<Diagnosis> {
    let end = container.terminated()?;
    let reason = end
        .reason()
        .filter(|reason| matches!(*reason, "StartError" | "ContainerCannotRun" | "ContainerStatusUnknown"))?;
    if reason == "ContainerStatusUnknown" {
        let what = said(format!("Pod {}: its node lost container `{}`", place(pod), container.name), end.message());
        let diagnosis = Diagnosis::new(
            Category::NodeLost,
            Severity::Warning,
            &what,
            "Look at the node, which was restarted or lost",
        );
        return Some(diagnosis.of_container(container).because(Some(reason)));
    }
    let message = end.message().unwrap_or_default();
    let what = format!("Container `{}` of pod {} could not be started", container.name, place(pod));
    let diagnosis =
        Diagnosis::new(Category::ContainerStartError, Severity::Error, &said(what, Some(message)), start_fix(message));
    Some(diagnosis.of_container(container).because(Some(reason)))
}

/// A pod that its node did not take.
fn rejected(pod: &PodDigest) -> Option<Diagnosis> {
    let reason = pod.reason().filter(|_| pod.phase == PodPhase::Failed)?;
    let (what, fix) = match reason {
        "DeadlineExceeded" => ("ran longer than its activeDeadlineSeconds", "Raise `activeDeadlineSeconds`"),
        _ if pod.has_started() => return None,
        _ => ("was rejected by its node", "The next try may get another node; look at the node's resources"),
    };
    let what = said(format!("Pod {} {what} ({reason})", place(pod)), pod.message());
    Some(Diagnosis::new(Category::PodRejected, Severity::Warning, &what, fix).because(Some(reason)))
}

fn pull_failure(category: Category, pod: &PodDigest, failed: &FailedPull<'_>) -> Diagnosis {
    let container = failed.container;
    let what =
        format!("Image `{}` of container `{}` of pod {} cannot be pulled", container.image, container.name, place(pod));
    Diagnosis::new(category, Severity::Error, &said(what, Some(&failed.said)), failed.cause.fix())
        .of_container(container)
        .because(failed.cause.name())
}

fn config_fix(message: &str) -> &'static str {
    let says = |word: &str| message.contains(word);
    if says("secret") {
        "Create the secret (or its key) in the pod's namespace, or correct its name in the job template"
    } else if says("configmap") {
        "Create the config map (or its key) in the pod's namespace, or correct its name in the job template"
    } else if says("runAsNonRoot") || says("run as non-root") {
        "Set `runAsUser` in the job template, or a user in the image"
    } else if says("no command specified") {
        "Give the image an entrypoint, or set `command`"
    } else {
        "Check environment, volumes and security context in the job template"
    }
}

fn start_fix(message: &str) -> &'static str {
    if message.contains("executable file not found") || message.contains("no such file or directory") {
        "The image does not have the command; the default is `prefect flow-run execute`, for which it needs the Prefect SDK"
    } else {
        "Check `command`, the image's entrypoint and the mounted volumes"
    }
}

/// A pod's name for people.
fn place(pod: &PodDigest) -> String {
    format!("{}/{}", pod.namespace, pod.name)
}

/// A statement with what the cluster says about it.
fn said(what: String, said: Option<&str>) -> String {
    match said.map(str::trim).filter(|said| !said.is_empty()) {
        Some(said) => format!("{what}: {said}"),
        None => what,
    }
}

/// The beginning of a text.
pub(super) fn clipped(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let cut = (0..=longest.saturating_sub('…'.len_utf8())).rev().find(|cut| text.is_char_boundary(*cut));
    format!("{}…", cut.and_then(|cut| text.get(..cut)).unwrap_or_default())
}

#[cfg(test)]
mod tests;

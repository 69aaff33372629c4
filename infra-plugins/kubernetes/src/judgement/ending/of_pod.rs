//! How a pod ended.

use worker_core::exit::{Exit, ExitReport};

use super::super::digest::{ContainerDigest, PodDigest, PodPhase, Role, Terminated};
use super::super::removal::Removal;
use super::{Around, quoted, told};

/// Exit codes of a container that was ended from outside.
const FROM_OUTSIDE: [i32; 2] = [137, 143];

/// How a pod ended that runs no more, is gone, or whose node does not answer any more.
pub(super) fn judge(pod: &PodDigest, around: Around) -> ExitReport {
    let flow = pod.flow().and_then(|flow| Some((flow, flow.terminated()?)));
    if pod.phase == PodPhase::Succeeded {
        return told(Exit::Code(0), None);
    }
    if flow.is_some_and(|(_, end)| end.code == 0) {
        return told(Exit::Code(0), after_the_flow(pod));
    }
    if !pod.phase.is_terminal() && !pod.is_gone {
        return told(
            Exit::NodeLost,
            Some("the pod's node does not answer, and the pod cannot be ended there".to_owned()),
        );
    }
    if let Some(removal) = Removal::of(pod).filter(|_| !around.was_stopped) {
        return told(removal.exit(), Some(with_words(removal.sentence(), Removal::said(pod))));
    }
    if let Some((init, end)) = pod.failed_init() {
        let detail = format!("init container `{}` failed with exit code {}", init.name, end.code);
        return told(Exit::Code(end.code), Some(with_words(&detail, end.message())));
    }
    match flow {
        Some((flow, end)) => of_flow(pod, flow, end, around),
        None => of_silent(pod, around),
    }
}

fn of_flow(pod: &PodDigest, flow: &ContainerDigest, end: &Terminated, around: Around) -> ExitReport {
    let code = Exit::Code(end.code);
    match end.reason() {
        Some("OOMKilled") if !around.was_stopped => {
            let detail = flow.memory_limit.as_ref().map_or_else(
                || "the kernel ended it because memory ran out".to_owned(),
                |limit| format!("it used more memory than its limit of {limit}"),
            );
            return told(Exit::OutOfMemory, Some(detail));
        }
        Some("ContainerStatusUnknown") if !around.was_stopped => {
            return told(
                Exit::NodeLost,
                Some("the pod's node lost its container, as when a node is restarted".to_owned()),
            );
        }
        Some("StartError" | "ContainerCannotRun") => {
            let detail = format!("container `{}` could not be started", flow.name);
            return told(code, Some(with_words(&detail, end.message())));
        }
        Some(_) | None => {}
    }
    if pod.reason() == Some("DeadlineExceeded") {
        return told(code, Some("it ran longer than the pod's activeDeadlineSeconds allows".to_owned()));
    }
    if (pod.is_gone || pod.deleted.is_some()) && FROM_OUTSIDE.contains(&end.code) && !around.was_stopped {
        return told(code, Some(around.deletion.to_owned()));
    }
    told(code, end.message().map(quoted))
}

/// A pod that says nothing about how its flow ended.
fn of_silent(pod: &PodDigest, around: Around) -> ExitReport {
    if !pod.phase.is_terminal() {
        return told(Exit::Vanished, (!around.was_stopped).then(|| around.deletion.to_owned()));
    }
    let reason = pod.reason().map(|reason| format!(" ({reason})")).unwrap_or_default();
    if pod.has_started() {
        return told(
            Exit::Vanished,
            Some(with_words(&format!("the pod failed without an exit code{reason}"), pod.message())),
        );
    }
    told(
        Exit::NeverStarted,
        Some(with_words(&format!("the pod failed before the flow started{reason}"), pod.message())),
    )
}

/// What made a pod fail in which the flow itself ended well.
fn after_the_flow(pod: &PodDigest) -> Option<String> {
    let (container, end) = failed(pod, |container| container.role != Role::Flow)?;
    let kind = if container.is_init() { "init container" } else { "container" };
    Some(format!("the flow ended well, {kind} `{}` beside it failed with exit code {}", container.name, end.code))
}

fn failed(pod: &PodDigest, is_meant: impl Fn(&ContainerDigest) -> bool) -> Option<(&ContainerDigest, &Terminated)> {
    let ended = pod.containers.iter().filter_map(|container| Some((container, container.terminated()?)));
    ended.into_iter().find(|(container, end)| end.code != 0 && is_meant(container))
}

fn with_words(sentence: &str, said: Option<&str>) -> String {
    match said.map(quoted).filter(|said| !said.is_empty()) {
        Some(said) => format!("{sentence}: {said}"),
        None => sentence.to_owned(),
    }
}

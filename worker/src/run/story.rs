//! A run's inputs in words, for its timeline, and the places at which a test kills the daemon.

use worker_core::machine::{Input, Phase, StopReason};

/// What an input means to somebody who asks why a run is where it is. Repetitions and what the run's log says already have
/// no words.
pub(super) fn note(phase: &Phase, input: &Input) -> Option<String> {
    Some(match input {
        Input::Claimed => "claimed: the server made it Pending for this worker".to_owned(),
        Input::Refused => "not taken".to_owned(),
        Input::FoundCancelled => "cancelled while no worker looked after it".to_owned(),
        Input::Prepared(_) => "configuration and code are ready".to_owned(),
        Input::Announced => "about to be started".to_owned(),
        Input::PolicyRefused(why) => why.clone(),
        Input::SubmitFailed(why) => format!("could not be started: {why}"),
        Input::Launched(handle) => format!("started as {} {}", handle.kind, handle.infra_id),
        Input::LaunchUnclear(why) => format!("whether the start took effect is not known: {why}"),
        Input::Located(Some(handle)) => format!("found started as {} {}", handle.kind, handle.infra_id),
        Input::Located(None) => "nothing was started".to_owned(),
        Input::FoundRunning => "found running by a new worker process".to_owned(),
        Input::Exited(report) => {
            let concluded = if report.concluded.is_some() { ", as its engine had said" } else { "" };
            format!("its infrastructure ended: {:?}{concluded}", report.exit)
        }
        Input::Gone => "its infrastructure is gone".to_owned(),
        Input::Killed => "its infrastructure was stopped".to_owned(),
        Input::KillUnsupported => "cannot be stopped from here".to_owned(),
        Input::Stop(_) if matches!(phase, Phase::Stopping(_) | Phase::Reporting(..) | Phase::CleaningUp(_)) => {
            return None;
        }
        Input::Stop(reason) => format!("to be stopped: {}", because(*reason)),
        Input::StopNow => "to be stopped at once".to_owned(),
        Input::Withdraw => "the worker takes no more runs".to_owned(),
        Input::Detach => "the worker ends; what is started goes on without it".to_owned(),
        Input::ReportSettled => "its end is known to the API".to_owned(),
        Input::CleanedUp => return None,
    })
}

pub(super) const fn because(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Cancelled => "it was cancelled",
        StopReason::Shutdown => "the worker stops",
        StopReason::Unobserved => "nobody can tell whether it was cancelled",
        StopReason::Over => "the API has it as over, or does not have it any more",
    }
}

pub(super) const fn failpoint_of_input(input: &Input) -> Option<&'static str> {
    match input {
        Input::Claimed => Some("claim.accepted"),
        Input::Prepared(_) => Some("prepared"),
        Input::Announced => Some("announced"),
        Input::Launched(_) => Some("launch.done"),
        Input::ReportSettled => Some("report.accepted"),
        Input::CleanedUp => Some("cleaned-up"),
        Input::Refused
        | Input::FoundCancelled
        | Input::PolicyRefused(_)
        | Input::SubmitFailed(_)
        | Input::LaunchUnclear(_)
        | Input::Located(_)
        | Input::FoundRunning
        | Input::Exited(_)
        | Input::Gone
        | Input::Killed
        | Input::KillUnsupported
        | Input::Stop(_)
        | Input::StopNow
        | Input::Withdraw
        | Input::Detach => None,
    }
}

/// The place after a phase was written down.
pub(super) const fn failpoint_of_phase(phase: &Phase) -> Option<&'static str> {
    match phase {
        Phase::Claiming => Some("claim.persisted"),
        Phase::Preparing => Some("claimed.persisted"),
        Phase::Launching => Some("launch.persisted"),
        Phase::Running(_) => Some("launched.persisted"),
        Phase::Reporting(..) => Some("report.persisted"),
        Phase::CleaningUp(_) => Some("cleanup.persisted"),
        Phase::Announcing | Phase::Stopping(_) | Phase::Done => None,
    }
}

//! Due times, lateness and retries.

use central_api_wire::state::StateType;
use jiff::{SignedDuration, Timestamp};

use super::decision::Draft;
use super::transition::Transition;
use crate::api::model::RetryType;

/// The due time goes with the claim: a run that is submitted early still starts on time.
pub(super) fn copy_scheduled_time(transition: &mut Transition<'_>) {
    let Some((StateType::Scheduled, StateType::Pending)) = transition.types() else { return };
    let due = transition.from.and_then(|state| state.state_details.scheduled_time);
    if let Some(to) = transition.to.as_mut() {
        to.details.scheduled_time = to.details.scheduled_time.or(due);
    }
}

/// A run that is started before its time has to wait.
pub(super) fn wait_for_scheduled_time(transition: &mut Transition<'_>) {
    let Some((StateType::Scheduled | StateType::Pending, StateType::Running)) = transition.types() else { return };
    let Some(due) = transition.from.and_then(|state| state.state_details.scheduled_time) else { return };
    let delay = rounded_seconds(due, transition.now);
    if delay > 0 {
        transition.wait(delay, "Scheduled time is in the future");
    }
}

/// Whole seconds; a half is rounded down, so that the proposer asks again rather a little early.
fn rounded_seconds(due: Timestamp, now: Timestamp) -> i64 {
    let delay = due.duration_since(now);
    let over_half = delay.subsec_micros() > 500_000;
    delay.as_secs().saturating_add(i64::from(over_half))
}

/// Only a Scheduled run is late, and it is marked once.
pub(super) fn mark_late_once(transition: &mut Transition<'_>) {
    let Some((from, StateType::Scheduled)) = transition.types() else { return };
    if transition.to_name() != "Late" {
        return;
    }
    if *from != StateType::Scheduled {
        transition.refuse("Only scheduled flows can be marked late.");
    } else if transition.run.state_name() == "Late" {
        transition.refuse("This flow run is already marked late.");
    }
}

/// A failed run with tries left is told to wait for its next one instead.
pub(super) fn retry_failed_run(transition: &mut Transition<'_>) {
    let Some((StateType::Running, StateType::Failed)) = transition.types() else { return };
    let run = transition.run;
    let tries_left = run.policy.retries.is_some_and(|retries| run.run_count <= retries);
    let Some(failed) = transition.to.as_ref().filter(|_| tries_left) else {
        transition.policy.retry_type = None;
        return;
    };
    let delay = SignedDuration::from_secs(run.policy.retry_delay.unwrap_or(0));
    let mut retry = Draft::scheduled("AwaitingRetry", transition.now.saturating_add(delay).unwrap_or(transition.now));
    retry.message.clone_from(&failed.message);
    retry.data.clone_from(&failed.data);
    transition.replace(retry, "Retrying");
    transition.policy.resuming = Some(false);
    transition.policy.pause_keys.clear();
    transition.policy.retry_type = Some(RetryType::InProcess);
}

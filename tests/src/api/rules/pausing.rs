//! Pause, suspension and resumption.

use central_api_wire::state::{State, StateDetails, StateProposal, StateType};
use jiff::Timestamp;
use serde_json::Value;

use super::decision::{Draft, PauseKey};
use super::transition::Transition;

/// Only a running run is paused, and by each key once. A suspended run comes back through a worker, so it needs a
/// deployment.
pub(super) fn guard_pause(transition: &mut Transition<'_>) {
    let Some((from, StateType::Paused)) = transition.types() else { return };
    let Some(to) = transition.to.as_ref() else { return };
    let verb = verb(&to.name);
    let key = pause_key(&to.details).map(str::to_owned);
    let fired = key.as_ref().is_some_and(|key| transition.policy.pause_keys.contains(key));
    let suspends = to.details.pause_reschedule == Some(true);
    if *from != StateType::Running {
        transition.refuse(format!("Cannot {verb} flows that are not currently running."));
    } else if fired {
        transition.refuse(format!("This {verb} has already fired."));
    } else if suspends && transition.run.parent_task_run_id.is_some() {
        transition.abort(format!("Cannot {verb} subflows."));
    } else if suspends && transition.run.deployment_id.is_none() {
        transition.abort(format!("Cannot {verb} flows without a deployment."));
    }
    if !transition.is_settled() {
        transition.pauses = Some(key.map_or(PauseKey::Unnamed, PauseKey::Named));
    }
}

/// A paused run runs, is scheduled, or ends; after its timeout it can only fail. Whatever becomes of the attempt, the
/// run counts as resuming from now on.
pub(super) fn guard_resumption(transition: &mut Transition<'_>) {
    let Some((StateType::Paused, to)) = transition.types() else { return };
    let Some(from) = transition.from else { return };
    if !matches!(to, StateType::Running | StateType::Scheduled) && !to.is_terminal() {
        let reason = format!("This run cannot transition to the StateType.{to} state from the StateType.PAUSED state.");
        transition.refuse(reason);
        transition.resumes = true;
        return;
    }
    let (verb, name) = (verb(transition.to_name()), transition.to_name().to_lowercase());
    if from.state_details.pause_reschedule == Some(true) && transition.run.deployment_id.is_none() {
        transition.refuse(format!("Cannot reschedule a {name} flow run without a deployment."));
    } else if pause_timeout(from).is_some_and(|timeout| timeout < transition.now) {
        let failed = Draft::new(StateType::Failed).with_message(&format!("The flow was {name} and never resumed."));
        transition.replace(failed, format!("The flow run {verb} has timed out and can no longer resume."));
    }
    transition.resumes = true;
}

/// What resuming a run proposes: a suspended run is scheduled again, a paused one goes on in its process.
///
/// # Errors
/// A run that is not paused cannot be resumed; the error says so.
pub fn resumption(state: Option<&State>, now: Timestamp) -> Result<StateProposal, &'static str> {
    let paused = state
        .filter(|state| state.state_type == StateType::Paused)
        .ok_or("Cannot resume a flow run that is not paused.")?;
    let suspended = paused.state_details.pause_reschedule == Some(true);
    let (state_type, name) =
        if suspended { (StateType::Scheduled, "Resuming") } else { (StateType::Running, "Running") };
    let state_details = StateDetails { scheduled_time: suspended.then_some(now), ..StateDetails::default() };
    Ok(StateProposal { state_type, name: Some(name.to_owned()), message: None, data: None, state_details })
}

/// The key of a pause, if the engine named one.
fn pause_key(details: &StateDetails) -> Option<&str> {
    details.other.get("pause_key").and_then(Value::as_str)
}

fn pause_timeout(state: &State) -> Option<Timestamp> {
    state.state_details.other.get("pause_timeout").and_then(Value::as_str)?.parse().ok()
}

fn verb(name: &str) -> &'static str {
    if name == "Suspended" { "suspend" } else { "pause" }
}

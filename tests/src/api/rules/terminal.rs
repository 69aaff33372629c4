//! Ended runs: what may still happen to them.

use central_api_wire::state::StateType;
use serde_json::Value;

use super::transition::Transition;
use crate::api::model::RetryType;

/// The type of a result that stays in the process of the flow: it is told once and not stored.
pub(super) const UNPERSISTED: &str = "unpersisted";

/// An ended run is not crashed, paused or cancelled any more, and a persisted result is not thrown away. It may be run
/// again, as a new try.
pub(super) fn guard_ended_runs(transition: &mut Transition<'_>) {
    let Some((from, to)) = transition.types() else { return };
    if !from.is_terminal() {
        return;
    }
    let (leaves, reschedules) = (!to.is_terminal(), *to == StateType::Scheduled);
    if matches!(to, StateType::Cancelling | StateType::Paused | StateType::Crashed) {
        transition.abort(format!("Run is already in terminal state {from}."));
    } else if leaves && *from == StateType::Completed && has_result(transition) {
        transition.refuse("Run is already COMPLETED.");
    } else if loses_result(transition) {
        refuse_loss(transition);
    } else if reschedules && transition.run.deployment_id.is_none() {
        transition.abort("Cannot reschedule a run without an associated deployment.");
    } else if leaves {
        transition.policy.resuming = Some(false);
        transition.policy.pause_keys.clear();
        transition.policy.retry_type = reschedules.then_some(RetryType::Reschedule);
    }
}

/// The part of it that holds for forced proposals as well.
pub(super) fn guard_result(transition: &mut Transition<'_>) {
    if loses_result(transition) {
        refuse_loss(transition);
    }
}

fn refuse_loss(transition: &mut Transition<'_>) {
    transition.refuse("Cannot overwrite a COMPLETED state that carries persisted result data with one that does not.");
}

fn loses_result(transition: &Transition<'_>) -> bool {
    transition.types() == Some((&StateType::Completed, &StateType::Completed))
        && has_result(transition)
        && !is_persisted(transition.to.as_ref().and_then(|draft| draft.data.as_ref()))
}

fn has_result(transition: &Transition<'_>) -> bool {
    let data = transition.from.and_then(|state| state.data.as_ref());
    is_persisted(data) && data.and_then(Value::as_object).is_some_and(|data| !data.is_empty())
}

/// An empty object counts as a result when it is proposed.
fn is_persisted(data: Option<&Value>) -> bool {
    data.and_then(Value::as_object).is_some_and(|data| data.get("type").and_then(Value::as_str) != Some(UNPERSISTED))
}

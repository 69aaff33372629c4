//! Cancellation.

use central_api_wire::state::StateType;

use super::decision::Draft;
use super::transition::Transition;

/// A run that is being cancelled ends as Cancelled, whatever its infrastructure reports.
pub(super) fn only_to_cancelled(transition: &mut Transition<'_>) {
    let Some((StateType::Cancelling, to)) = transition.types() else { return };
    if *to != StateType::Cancelled {
        transition.refuse("Cannot transition flows that are cancelling to a state other than Cancelled.");
    }
}

/// A run without infrastructure has nobody who could finish its cancellation, so it is cancelled at once.
pub(super) fn without_infrastructure(transition: &mut Transition<'_>) {
    let Some((from, StateType::Cancelling)) = transition.types() else { return };
    let suspended = transition.from.and_then(|state| state.state_details.pause_reschedule) == Some(true);
    let scheduled = *from == StateType::Scheduled
        && (transition.run.infrastructure_pid.is_none() || transition.run.state_name() == "Resuming");
    let cancelled = Draft::new(StateType::Cancelled);
    if scheduled {
        transition.replace(cancelled, "Scheduled flow run has no infrastructure to terminate.");
    } else if *from == StateType::Paused && suspended {
        transition.replace(cancelled, "Suspended flow run has no infrastructure to terminate.");
    }
}

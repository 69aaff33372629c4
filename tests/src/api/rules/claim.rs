//! Claims: a run is submitted once, whoever asks and however often.

use central_api_wire::state::StateType;

use super::transition::{LEASE_DETAIL, Transition, lease_of};

/// The same proposal again: the first answer was lost on its way.
pub(super) fn refuse_repeat(transition: &mut Transition<'_>) {
    let (Some(from), Some(to)) = (transition.from, transition.to.as_ref()) else { return };
    let stored = from.state_details.transition_id;
    if stored.is_some() && stored == to.details.transition_id {
        transition.refuse("This run has already made this state transition.");
    }
}

/// Of two workers that claim one run the second is told to give up. A claimed run may move on to a Pending state of
/// another name, but not back to the claim itself: that would let the second worker in.
pub(super) fn guard_pending(transition: &mut Transition<'_>) {
    let Some((from, StateType::Pending)) = transition.types() else { return };
    let (from_name, named) = (transition.run.state_name(), transition.limits.ruleset.named_pending);
    if *from == StateType::Pending && named && transition.to_name() != from_name && transition.to_name() != "Pending" {
        carry_forward(transition);
        return;
    }
    if matches!(from, StateType::Pending | StateType::Running | StateType::Cancelling | StateType::Cancelled) {
        transition.abort(format!("This run is in a {from} state and cannot transition to a PENDING state."));
    }
}

fn carry_forward(transition: &mut Transition<'_>) {
    let (Some(from), Some(to)) = (transition.from, transition.to.as_mut()) else { return };
    to.details.scheduled_time = from.state_details.scheduled_time;
    if transition.limits.ruleset.keeps_lease
        && let Some(lease) = lease_of(from)
    {
        to.details.other.insert(LEASE_DETAIL.to_owned(), lease.clone());
    }
}

//! Whose a run is, by what the API has of it.
//!
//! A server that is slow can accept a claim on a run that is somebody else's by then: it looks at the run before the other
//! claim has taken effect, or takes one that is over for one that waits. The history of the run's states then shows what
//! stood right before our claim.

use central_api_wire::flow_run::FlowRun;
use central_api_wire::state::{State, StateType};
use worker_core::ids::LaunchKey;

/// What an accepted claim is worth.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Precedence {
    /// The run waited, and is ours.
    First,
    /// Somebody else had claimed it, and goes on with it.
    Second,
    /// It was over, in this state, which our claim has replaced.
    TooLate(Box<State>),
}

/// What stood before our claim. Oldest state first. A history without our claim says nothing against it.
pub(super) fn precedence(key: LaunchKey, history: &[State]) -> Precedence {
    let Some(claim) = history.iter().position(|state| is_by(state, key)) else { return Precedence::First };
    let Some(before) = history.get(..claim).and_then(<[State]>::last) else { return Precedence::First };
    match before.state_type {
        StateType::Pending | StateType::Running | StateType::Cancelling => Precedence::Second,
        StateType::Completed | StateType::Failed | StateType::Crashed | StateType::Cancelled => {
            Precedence::TooLate(Box::new(before.clone()))
        }
        StateType::Scheduled | StateType::Paused | StateType::Other(_) => Precedence::First,
    }
}

/// Whether the run went on without this execution after it was claimed: it was ended and begun anew, claimed by somebody else,
/// or put back by us. A history without our claim says nothing.
pub(crate) fn moved_on(key: LaunchKey, history: &[State]) -> bool {
    let Some(claim) = history.iter().position(|state| is_by(state, key)) else { return false };
    let after = history.get(claim + 1..).unwrap_or_default();
    let put_back = Some(key.transition("scheduled"));
    let is_claim = |state: &State| {
        state.state_type == StateType::Pending
            && state.name() == "Pending"
            && state.state_details.transition_id.is_some_and(|made_by| made_by != key.claim)
    };
    let begun_anew =
        after.iter().skip_while(|state| !state.state_type.is_terminal()).any(|state| !state.state_type.is_terminal());
    begun_anew || after.iter().any(|state| is_claim(state) || state.state_details.transition_id == put_back)
}

/// Whether a run was ever ours: our claim is in its history, and was the first after the schedule.
pub(super) fn was_claimed(key: LaunchKey, history: &[State]) -> bool {
    history.iter().any(|state| is_by(state, key)) && precedence(key, history) == Precedence::First
}

/// Whether a Pending state was made by this execution. Old servers do not say by whom.
pub(super) fn pending_is_ours(key: LaunchKey, run: &FlowRun) -> bool {
    let made_by = run.state.as_ref().and_then(|state| state.state_details.transition_id);
    let ours = [key.claim, key.transition("submitting")];
    made_by.is_none_or(|made_by| ours.contains(&made_by))
}

fn is_by(state: &State, key: LaunchKey) -> bool {
    state.state_details.transition_id == Some(key.claim)
}

#[cfg(test)]
mod tests {
    use central_api_wire::state::StateDetails;
    use uuid::Uuid;
    use worker_core::ids::{RunId, TransitionId};

    use super::*;

    #[test]
    fn the_first_claim_after_the_schedule_counts() {
        let transition = |number| TransitionId(Uuid::from_u128(number));
        let key = LaunchKey { run: RunId(Uuid::nil()), claim: transition(1) };
        let state = |state_type: StateType, by: Option<u128>| State {
            state_details: StateDetails { transition_id: by.map(transition), ..StateDetails::default() },
            ..State::of_type(state_type)
        };
        let (scheduled, ours) = (state(StateType::Scheduled, None), state(StateType::Pending, Some(1)));
        let theirs = state(StateType::Pending, Some(2));
        let running = state(StateType::Running, Some(3));
        let failed = state(StateType::Failed, Some(4));
        for (history, worth) in [
            (vec![scheduled.clone(), ours.clone()], Precedence::First),
            (vec![scheduled.clone(), theirs.clone(), running.clone(), ours.clone()], Precedence::Second),
            (vec![scheduled.clone(), theirs.clone(), ours.clone()], Precedence::Second),
            (vec![scheduled.clone(), ours.clone(), theirs.clone()], Precedence::First),
            (vec![scheduled.clone(), theirs.clone(), running, scheduled.clone(), ours.clone()], Precedence::First),
            (vec![scheduled.clone(), failed.clone(), ours], Precedence::TooLate(Box::new(failed))),
            (vec![scheduled.clone(), theirs.clone()], Precedence::First),
        ] {
            assert_eq!(precedence(key, &history), worth, "{history:?}");
        }
        let retry = state(StateType::Scheduled, None);
        let (ours, crashed) = (state(StateType::Pending, Some(1)), state(StateType::Crashed, None));
        let put_back = State {
            state_details: StateDetails { transition_id: Some(key.transition("scheduled")), ..StateDetails::default() },
            ..State::of_type(StateType::Scheduled)
        };
        for (after, moved) in [
            (vec![], false),
            (vec![state(StateType::Running, Some(3)), retry.clone()], false),
            (vec![crashed.clone()], false),
            (vec![crashed, retry], true),
            (vec![theirs.clone()], true),
            (vec![put_back], true),
        ] {
            let history = [&[scheduled.clone(), ours.clone()], &after[..]].concat();
            assert_eq!(moved_on(key, &history), moved, "{after:?}");
        }
        let cancelling = state(StateType::Cancelling, None);
        assert!(was_claimed(key, &[scheduled.clone(), ours, cancelling.clone()]));
        assert!(!was_claimed(key, &[scheduled, theirs, cancelling]), "somebody else's, who will finish it");
    }
}

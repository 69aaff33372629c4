//! Whether a claim that the server accepted was the first one.
//!
//! A server that is slow can accept two: it looks at the run for the second before the first has taken effect. The history of
//! the run's states then shows somebody else's claim right before ours, and the run is theirs.

use central_api_wire::state::{State, StateType};
use worker_core::ids::LaunchKey;

/// Whether the last thing that happened to the run before our claim was that it was scheduled. Oldest state first. A
/// history without our claim says nothing.
pub(super) fn claimed_first(key: LaunchKey, history: &[State]) -> bool {
    let is_ours = |state: &State| state.state_details.transition_id == Some(key.claim);
    let Some(claim) = history.iter().position(is_ours) else { return true };
    let before = history.get(..claim).and_then(<[State]>::last);
    before.is_none_or(|before| match before.state_type {
        StateType::Pending | StateType::Running | StateType::Cancelling => false,
        StateType::Scheduled
        | StateType::Paused
        | StateType::Completed
        | StateType::Failed
        | StateType::Crashed
        | StateType::Cancelled
        | StateType::Other(_) => true,
    })
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
            id: None,
            state_type,
            name: None,
            timestamp: None,
            message: None,
            data: None,
            state_details: StateDetails { transition_id: by.map(transition), ..StateDetails::default() },
        };
        let (scheduled, ours) = (state(StateType::Scheduled, None), state(StateType::Pending, Some(1)));
        let theirs = state(StateType::Pending, Some(2));
        let running = state(StateType::Running, Some(3));
        for (history, first) in [
            (vec![scheduled.clone(), ours.clone()], true),
            (vec![scheduled.clone(), theirs.clone(), running.clone(), ours.clone()], false),
            (vec![scheduled.clone(), theirs.clone(), ours.clone()], false),
            (vec![scheduled.clone(), ours.clone(), theirs.clone()], true),
            (vec![scheduled.clone(), theirs.clone(), running, scheduled.clone(), ours], true),
            (vec![scheduled, theirs], true),
        ] {
            assert_eq!(claimed_first(key, &history), first, "{history:?}");
        }
    }
}

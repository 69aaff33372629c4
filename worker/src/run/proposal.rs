//! The states that a worker proposes, as values.

use central_api_wire::state::{SetStateRequest, State, StateDetails, StateProposal, StateType};
use jiff::Timestamp;
use uuid::Uuid;
use worker_core::ids::{LaunchKey, RunId, TransitionId};

/// The message on a run that was cancelled before anything was started for it.
pub(super) const CANCELLED_BEFORE_START: &str = "Flow run cancelled by worker (no infrastructure found).";

fn proposal(run: RunId, transition: TransitionId, state_type: StateType, name: &str) -> SetStateRequest {
    let state_details =
        StateDetails { flow_run_id: Some(run), transition_id: Some(transition), ..StateDetails::default() };
    SetStateRequest {
        state: StateProposal { state_type, name: Some(name.to_owned()), message: None, data: None, state_details },
        force: false,
    }
}

fn fresh() -> TransitionId {
    TransitionId(Uuid::new_v4())
}

/// A state that an execution proposes once. A later process that proposes it again sends the same transition.
fn once(key: LaunchKey, state_type: StateType, name: &str) -> SetStateRequest {
    proposal(key.run, key.transition(&name.to_ascii_lowercase()), state_type, name)
}

fn with_message(mut request: SetStateRequest, message: impl Into<String>) -> SetStateRequest {
    request.state.message = Some(message.into());
    request
}

/// Claims the run. The transition is the execution's own, so that a repeated claim is recognised as one.
pub(super) fn pending(key: LaunchKey) -> SetStateRequest {
    proposal(key.run, key.claim, StateType::Pending, "Pending")
}

/// Says that the launch is near.
pub(super) fn submitting(key: LaunchKey) -> SetStateRequest {
    once(key, StateType::Pending, "Submitting")
}

/// The infrastructure exists and cannot run yet.
pub(super) fn infrastructure_pending(key: LaunchKey, message: impl Into<String>) -> SetStateRequest {
    with_message(once(key, StateType::Pending, "InfrastructurePending"), message)
}

/// The same for a run that somebody else executes.
pub(super) fn infrastructure_pending_elsewhere(run: RunId, message: impl Into<String>) -> SetStateRequest {
    with_message(proposal(run, fresh(), StateType::Pending, "InfrastructurePending"), message)
}

/// The infrastructure of a run that somebody else executes failed it. The transition is that of its end, so that a repetition is
/// recognised as one.
pub(super) fn crashed_elsewhere(run: RunId, infrastructure: &str, message: impl Into<String>) -> SetStateRequest {
    let transition = TransitionId(Uuid::new_v5(&run.0, format!("crashed {infrastructure}").as_bytes()));
    with_message(proposal(run, transition, StateType::Crashed, "Crashed"), message)
}

/// The infrastructure failed the run. Never forced: a run that has ended stays as it ended.
pub(super) fn crashed(key: LaunchKey, message: impl Into<String>) -> SetStateRequest {
    with_message(once(key, StateType::Crashed, "Crashed"), message)
}

/// The run was cancelled: a copy of its state with another type, forced, because the server lets nothing but this end a
/// cancellation and the engine may have forced a crash over it.
pub(super) fn cancelled(run: RunId, current: Option<&State>, message: impl Into<String>) -> SetStateRequest {
    let mut request = with_message(proposal(run, fresh(), StateType::Cancelled, "Cancelled"), message);
    request.force = true;
    if let Some(current) = current {
        request.state.data.clone_from(&current.data);
    }
    request
}

/// The state back that a run had before it was claimed by mistake: forced, because it was an end.
pub(super) fn restored(run: RunId, ended: &State) -> SetStateRequest {
    let mut request = proposal(run, fresh(), ended.state_type.clone(), ended.name());
    request.force = true;
    request.state.message.clone_from(&ended.message);
    request.state.data.clone_from(&ended.data);
    request
}

/// Puts a claimed run back for another worker.
pub(super) fn scheduled(key: LaunchKey, due: Option<Timestamp>, message: impl Into<String>) -> SetStateRequest {
    let mut request = once(key, StateType::Scheduled, "Scheduled");
    request.state.state_details.scheduled_time = Some(due.unwrap_or_else(Timestamp::now));
    with_message(request, message)
}

/// The command runs, and cannot say so itself.
pub(super) fn running(key: LaunchKey) -> SetStateRequest {
    once(key, StateType::Running, "Running")
}

/// The command succeeded, and cannot say so itself.
pub(super) fn completed(key: LaunchKey) -> SetStateRequest {
    once(key, StateType::Completed, "Completed")
}

/// The command failed, and cannot say so itself.
pub(super) fn failed(key: LaunchKey, message: impl Into<String>) -> SetStateRequest {
    with_message(once(key, StateType::Failed, "Failed"), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_execution_proposes_once_has_the_same_transition_whoever_proposes_it() {
        let run = RunId(Uuid::from_u128(1));
        let key = LaunchKey { run, claim: TransitionId(Uuid::from_u128(2)) };
        let transition = |request: SetStateRequest| request.state.state_details.transition_id;
        assert_eq!(transition(pending(key)), Some(key.claim));
        assert_eq!(transition(crashed(key, "x")), transition(crashed(key, "y")));
        assert_ne!(transition(crashed(key, "x")), transition(submitting(key)));
        assert_ne!(transition(cancelled(run, None, "x")), transition(cancelled(run, None, "x")));
    }

    #[test]
    fn nothing_is_forced_but_a_cancellation_and_a_mistake_put_right() {
        let key = LaunchKey { run: RunId(Uuid::from_u128(1)), claim: TransitionId(Uuid::from_u128(2)) };
        assert!(cancelled(key.run, None, "x").force);
        assert!(restored(key.run, &State::of_type(StateType::Failed)).force);
        for request in [submitting(key), crashed(key, "x"), scheduled(key, None, "x"), running(key), completed(key)] {
            assert!(!request.force, "{request:?}");
        }
    }

    #[test]
    fn a_claim_says_no_more_than_it_must() {
        let key = LaunchKey { run: RunId(Uuid::from_u128(1)), claim: TransitionId(Uuid::from_u128(2)) };
        let body = serde_json::to_value(pending(key)).unwrap();
        assert_eq!(
            body,
            serde_json::json!({"force": false, "state": {
                "type": "PENDING", "name": "Pending", "message": null,
                "state_details": {"flow_run_id": key.run, "transition_id": key.claim},
            }}),
            "a null lease id would lose the lease on servers 3.6.22 and 3.6.23"
        );
    }
}

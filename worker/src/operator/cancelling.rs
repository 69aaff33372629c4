//! Cancelling a run from here.
//!
//! The API is asked first, as a user would ask it, so that history and hooks are as after any other cancellation. A run that
//! is executed here is then told at once, whatever becomes of that: its actor settles its state, when the API is back if
//! need be.

use std::time::Duration;

use central_api_client::{ApiError, CallKind, Client, Verdict};
use central_api_wire::state::{SetStateRequest, StateDetails, StateProposal, StateType};
use uuid::Uuid;
use worker_core::ids::{RunId, TransitionId};
use worker_core::machine::{Input, StopReason};

use super::answers::{ApiAnswer, Cancelled, RunNamed};
use super::desk::Desk;
use super::picking::{Picked, pick};
use super::server::NoAnswer;
use crate::live_runs::WorkspaceIndex;
use crate::run::ErrorChain;

/// An API that does not answer for so long is away: the run is stopped without it.
const API_ANSWER: Duration = Duration::from_secs(3);

pub(super) async fn cancel(desk: &Desk, named: &RunNamed) -> Result<Cancelled, NoAnswer> {
    let sightings = desk.live.sightings();
    let live = sightings.iter().map(|sighting| (sighting.seen.key.run, sighting.seen.name.clone()));
    let (run, sighting) = match pick(&named.run, live) {
        Picked::One(run) => (run, sightings.into_iter().find(|sighting| sighting.seen.key.run == run)),
        Picked::Several(text) => return Err(NoAnswer::Ambiguous(text)),
        Picked::None => match named.run.parse::<RunId>() {
            Ok(run) => (run, None),
            Err(_) => {
                return Err(NoAnswer::Unknown(format!("no run that is executed here begins with '{}'", named.run)));
            }
        },
    };
    let at = sighting.as_ref().map(|sighting| sighting.pool.workspace);
    let (api, is_over) = match proposed(desk, at, run).await {
        Proposed::Verdict(verdict) => judge(*verdict),
        Proposed::Nowhere if sighting.is_none() => {
            return Err(NoAnswer::Unknown(format!("neither this worker nor the API knows the run {run}")));
        }
        Proposed::Nowhere => (ApiAnswer::Away("it does not know the run".to_owned()), false),
        Proposed::Unanswered(why) => (ApiAnswer::Away(why), false),
    };
    let told = sighting.filter(|_| !is_over);
    if let Some(sighting) = &told {
        desk.timelines.note(run, "the operator cancels it");
        desk.live.tell(sighting.pool, run, Input::Stop(StopReason::Cancelled));
    }
    let name = told.as_ref().map(|sighting| sighting.seen.name.clone()).unwrap_or_default();
    Ok(Cancelled { daemon: desk.daemon.clone(), id: run, name, api, is_stopping: told.is_some() })
}

/// What proposing it came to.
enum Proposed {
    Verdict(Box<Verdict>),
    /// No API knows the run.
    Nowhere,
    /// Not all have said so.
    Unanswered(String),
}

/// Proposes it to the API of a run, or, if nobody here executes it, to whichever knows it.
async fn proposed(desk: &Desk, at: Option<WorkspaceIndex>, run: RunId) -> Proposed {
    let is_meant = |(index, workspace)| at.is_none_or(|at| at == WorkspaceIndex(index)).then_some(workspace);
    let mut proposed = Proposed::Nowhere;
    for workspace in desk.workspaces.iter().enumerate().filter_map(is_meant) {
        match tokio::time::timeout(API_ANSWER, propose(&workspace.client, run)).await {
            Ok(Ok(verdict)) => return Proposed::Verdict(Box::new(verdict)),
            Ok(Err(error)) if error.is_not_found() && at.is_none() => {}
            Ok(Err(error)) => proposed = Proposed::Unanswered(ErrorChain(&error).to_string()),
            Err(_) => proposed = Proposed::Unanswered("it does not answer".to_owned()),
        }
    }
    proposed
}

async fn propose(client: &Client, run: RunId) -> Result<Verdict, ApiError> {
    let state_details = StateDetails {
        flow_run_id: Some(run),
        transition_id: Some(TransitionId(Uuid::new_v4())),
        ..StateDetails::default()
    };
    let state = StateProposal {
        state_type: StateType::Cancelling,
        name: Some("Cancelling".to_owned()),
        message: None,
        data: None,
        state_details,
    };
    client.set_state(run, &SetStateRequest { state, force: false }, CallKind::Claim).await
}

/// What the API said, and whether the run is over, so that there is nothing to stop.
fn judge(verdict: Verdict) -> (ApiAnswer, bool) {
    match verdict {
        Verdict::Accept(Some(state)) => (ApiAnswer::State(state.name().to_owned()), false),
        Verdict::Accept(None) => (ApiAnswer::State(StateType::Cancelling.default_name().to_owned()), false),
        // Somebody cancelled it before, or the server goes straight to the end of a run that nothing was started for.
        Verdict::Reject { state: Some(state), .. }
            if matches!(state.state_type, StateType::Cancelling | StateType::Cancelled) =>
        {
            (ApiAnswer::State(state.name().to_owned()), false)
        }
        Verdict::Reject { state: Some(state), .. } if state.state_type.is_terminal() => {
            (ApiAnswer::Refused(format!("it is {} already", state.name())), true)
        }
        Verdict::Abort { reason } => {
            (ApiAnswer::Refused(reason.unwrap_or_else(|| "the server gives no reason".to_owned())), true)
        }
        Verdict::Reject { reason, .. } => {
            (ApiAnswer::Refused(reason.unwrap_or_else(|| "the server gives no reason".to_owned())), false)
        }
        Verdict::Wait { .. } => (ApiAnswer::Away("it asks to wait".to_owned()), false),
    }
}

#[cfg(test)]
mod tests {
    use central_api_wire::state::State;

    use super::*;

    fn rejected(state_type: &StateType) -> Verdict {
        let state: State = serde_json::from_value(serde_json::json!({"type": state_type})).unwrap();
        Verdict::Reject { state: Some(state), reason: None }
    }

    #[test]
    fn a_run_that_is_over_is_not_stopped_and_any_other_is() {
        let is_over = |verdict| judge(verdict).1;
        assert!(!is_over(Verdict::Accept(None)));
        assert!(!is_over(rejected(&StateType::Cancelling)));
        assert!(!is_over(Verdict::Wait { delay: Duration::ZERO, reason: None }));
        assert!(is_over(rejected(&StateType::Completed)));
        assert!(is_over(Verdict::Abort { reason: Some("This run has already terminated.".to_owned()) }));
    }
}

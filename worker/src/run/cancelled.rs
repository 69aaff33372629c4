//! Setting a run to Cancelled, by force where need be, and once.
//!
//! The server takes every forced proposal, also the repetition of one whose answer was lost. So a forced one is sent once, and
//! when its answer does not come the run is read again before the next.

use std::time::Duration;

use central_api_client::{CallKind, Verdict};
use central_api_wire::state::{State, StateType};

use super::asking::read_back;
use super::context::RunContext;
use super::error_chain::ErrorChain;
use super::patience::leaves_open;
use super::proposal;

const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Brings the run to Cancelled unless it has ended already, for as long as it takes. The state that it had before; `None` if
/// the run was deleted.
pub(super) async fn settle(cx: &RunContext, message: &str) -> Option<Option<State>> {
    let run = cx.offer.key.run;
    let mut before = None;
    loop {
        // Forced over whatever state the run is in, so that state is known first.
        let current = read_back(cx).await?.state;
        let before = before.get_or_insert_with(|| current.clone());
        if !must_be_forced(current.as_ref()) {
            return Some(before.clone());
        }
        let request = proposal::cancelled(run, current.as_ref(), message);
        match cx.around.api.propose(run, &request, CallKind::Poll).await {
            Ok(Verdict::Wait { delay, .. }) => tokio::time::sleep(delay).await,
            Ok(Verdict::Accept(_) | Verdict::Reject { .. } | Verdict::Abort { .. }) => return Some(before.clone()),
            Err(error) if error.is_not_found() => return None,
            Err(error) if leaves_open(&error) => {
                tracing::debug!("whether the run is cancelled now is not known: {}", ErrorChain(&error));
                tokio::time::sleep(TRY_AGAIN).await;
            }
            Err(error) => {
                tracing::error!("the API refuses to take the run for cancelled: {}", ErrorChain(&error));
                return Some(before.clone());
            }
        }
    }
}

/// Whether a cancelled run, its infrastructure gone, still has to be set to Cancelled.
///
/// Crashed is overridden: an engine that was terminated before it knew of the cancellation forces that state. A flow that
/// finished first did finish.
fn must_be_forced(current: Option<&State>) -> bool {
    match current.map(|state| &state.state_type) {
        Some(StateType::Cancelled | StateType::Completed | StateType::Failed) => false,
        Some(
            StateType::Scheduled
            | StateType::Pending
            | StateType::Running
            | StateType::Crashed
            | StateType::Paused
            | StateType::Cancelling
            | StateType::Other(_),
        )
        | None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancellation_is_finished_unless_the_flow_was_faster() {
        for (current, forced) in [
            (StateType::Cancelling, true),
            (StateType::Crashed, true),
            (StateType::Running, true),
            (StateType::Pending, true),
            (StateType::Cancelled, false),
            (StateType::Completed, false),
            (StateType::Failed, false),
        ] {
            assert_eq!(must_be_forced(Some(&State::of_type(current.clone()))), forced, "{current}");
        }
    }
}

//! Proposing a state until it is known what came of it.
//!
//! A proposal whose answer was lost is not simply repeated: it may have taken effect, and the run may be somebody else's since,
//! whose state a repetition would replace. So each is sent once, and before the next the run's history is asked.

use std::time::Duration;

use central_api_client::{ApiError, CallKind, Verdict};
use central_api_wire::flow_run::FlowRun;
use central_api_wire::state::{SetStateRequest, State};

use super::context::RunContext;
use super::error_chain::ErrorChain;
use super::patience::{ASK_AGAIN, leaves_open};
use crate::pool::pace;

/// The pause between tries grows up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Proposes a state, for as long as it takes; `None` if the run was deleted, or the API refuses to hear of it.
pub(super) async fn ask(cx: &RunContext, request: &SetStateRequest) -> Option<Verdict> {
    let mut failures = 0;
    loop {
        match cx.around.api.propose(cx.offer.key.run, request, CallKind::Poll).await {
            Ok(Verdict::Wait { delay, .. }) => tokio::time::sleep(delay).await,
            Ok(verdict) => return Some(verdict),
            Err(error) if error.is_not_found() => {
                tracing::info!("the flow run was deleted; there is nothing to report to");
                return None;
            }
            Err(error) if leaves_open(&error) => {
                failures += 1;
                if failures == 1 {
                    let state = request.state.state_type.as_str();
                    tracing::warn!("the API does not accept {state} yet; trying until it does: {}", ErrorChain(&error));
                }
                tokio::time::sleep(pace::after_failure(failures, LONGEST_PAUSE, error.retry_after())).await;
                if has_taken_effect(cx, request).await? {
                    return Some(Verdict::Accept(None));
                }
            }
            Err(error) => {
                tracing::error!("the API refuses a report of the run: {}", ErrorChain(&error));
                return None;
            }
        }
    }
}

/// Whether the transition is in the run's history; `None` if the run was deleted.
async fn has_taken_effect(cx: &RunContext, request: &SetStateRequest) -> Option<bool> {
    let transition = request.state.state_details.transition_id;
    let history = history(cx).await?;
    Some(history.iter().any(|state| state.state_details.transition_id == transition))
}

/// The states that the run has had, oldest first, for as long as it takes; `None` if it was deleted.
pub(super) async fn history(cx: &RunContext) -> Option<Vec<State>> {
    until_answered(|| async { cx.around.api.states(cx.offer.key.run).await.map(Some) }).await
}

/// The run as it is now, for as long as it takes; `None` if it was deleted, or may not be read.
pub(super) async fn read_back(cx: &RunContext) -> Option<FlowRun> {
    until_answered(|| cx.around.api.flow_run(cx.offer.key.run)).await
}

/// An answer, for as long as it takes. One that will never come counts as "there is none".
pub(super) async fn until_answered<T, F>(ask: impl Fn() -> F) -> Option<T>
where
    F: Future<Output = Result<Option<T>, ApiError>>,
{
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) if error.is_not_found() => return None,
            Err(error) if leaves_open(&error) => {
                tracing::debug!("the API does not say how the run is, asking again: {}", ErrorChain(&error));
                tokio::time::sleep(ASK_AGAIN).await;
            }
            Err(error) => {
                tracing::error!("the API refuses to say how the run is: {}", ErrorChain(&error));
                return None;
            }
        }
    }
}

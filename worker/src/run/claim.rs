//! Asking the server for a run.

use std::sync::Arc;
use std::time::Duration;

use central_api_client::Verdict;
use central_api_wire::deployment::Deployment;
use central_api_wire::flow_run::FlowRun;
use central_api_wire::state::StateType;
use tokio::time::Instant;
use worker_core::ids::{DeploymentId, LaunchKey};

use super::asking::{ask, history, read_back};
use super::cancelled;
use super::context::RunContext;
use super::error_chain::ErrorChain;
use super::patience::{ASK_AGAIN, leaves_open};
use super::proposal;
use crate::control_plane::Look;
use crate::metrics::Refusal;

use super::standing::{Precedence, pending_is_ours, precedence, was_claimed};

/// Nobody can have claimed a run, executed it and reported its end within this time since it was shown. A claim that is
/// accepted later may have been accepted on a run that is over.
const FRESH: Duration = Duration::from_millis(100);
/// A run that was shown longer ago is looked at again, together with others, so that its claim is answered while the look is
/// fresh. The alternative would be a question about each run's history.
const FRESH_ENOUGH: Duration = Duration::from_millis(50);
/// What a poll showed may not be so any more after this. The server lets a run that has failed or crashed be claimed like a
/// scheduled one, so a claim on old news would execute it twice.
const OLD_NEWS: Duration = Duration::from_secs(1);

/// What came of a claim.
pub(super) enum Claim {
    /// The run is ours. Its deployment, read on the way, comes along.
    Ours(Option<Arc<Deployment>>),
    /// It is not, or not this time: a run still Scheduled is offered again by the next poll.
    NotOurs,
}

/// Checks that the deployment still exists and proposes Pending.
pub(super) async fn claim(cx: &RunContext) -> Claim {
    let id = cx.offer.key.run;
    if !cx.offer.refused_before {
        cx.log().info(format!("Worker '{}' submitting flow run '{id}'", cx.around.identity.name));
    }
    if let Some(worker_id) = cx.around.identity.id.get() {
        cx.log().info(format!("Running on worker id: {worker_id}"));
    }
    let deployment = match cx.offer.flow_run.deployment_id {
        None => None,
        Some(deployment) => match cx.around.api.deployment(deployment, cx.offer.shown).await {
            Ok(Some(deployment)) => Some(deployment),
            Ok(None) => {
                cx.metrics().refused(Refusal::DeploymentDeleted);
                cancel_orphan(cx, deployment).await;
                return Claim::NotOurs;
            }
            Err(error) => {
                let why = ErrorChain(&error);
                refused(
                    cx,
                    Refusal::ApiError,
                    format!("Deployment {deployment} could not be read, so flow run '{id}' waits: {why}"),
                );
                return Claim::NotOurs;
            }
        },
    };
    if propose_pending(cx).await { Claim::Ours(deployment) } else { Claim::NotOurs }
}

pub(super) async fn cancel_orphan(cx: &RunContext, deployment: DeploymentId) {
    let run = cx.offer.key.run;
    cx.log()
        .error(format!("Deployment {deployment} no longer exists. Flow run {run} will not be submitted for execution"));
    cx.around.api.flush_logs(run).await;
    let message = format!("Deployment {deployment} no longer exists, cancelled run.");
    // It may be somebody else's by now, who executes it.
    let is_nobodys = |run: &FlowRun| match run.state_type {
        Some(StateType::Pending) => pending_is_ours(cx.offer.key, run),
        Some(StateType::Scheduled | StateType::Cancelling) | None => true,
        Some(_) => false,
    };
    if read_back(cx).await.as_ref().is_some_and(is_nobodys) {
        cancelled::settle(cx, &message).await;
    }
}

/// Proposes Pending until there is a verdict.
///
/// An error says nothing about whether the claim took effect, and a claim that did and is given up belongs to nobody. The
/// same proposal is harmless when repeated, so it is, for as long as the API does not answer.
async fn propose_pending(cx: &RunContext) -> bool {
    let key = cx.offer.key;
    let request = proposal::pending(key);
    let mut perhaps_ours = false;
    let mut shown = cx.offer.shown;
    loop {
        if perhaps_ours {
            if !may_still_be_claimed(cx).await {
                return false;
            }
        } else if shown.elapsed() > FRESH_ENOUGH {
            match look(cx, shown).await {
                Some(seen) => shown = seen,
                None => return false,
            }
        }
        let verdict = match cx.around.api.claim(key.run, &request).await {
            Ok(verdict) => verdict,
            Err(error) if leaves_open(&error) => {
                tracing::debug!("the claim was not answered, asking again: {}", ErrorChain(&error));
                perhaps_ours = true;
                tokio::time::sleep(ASK_AGAIN).await;
                continue;
            }
            Err(error) => {
                if error.is_not_found() {
                    deleted(cx);
                } else {
                    refused(
                        cx,
                        Refusal::ApiError,
                        format!("Failed to update state of flow run '{}': {}", key.run, ErrorChain(&error)),
                    );
                }
                return false;
            }
        };
        match judge(key, verdict) {
            Judgement::Ours => return shown.elapsed() < FRESH || is_first(cx).await,
            Judgement::AskAgain(delay) => tokio::time::sleep(delay).await,
            Judgement::NotOurs { cause, why, cancelling } => {
                refused(cx, cause, format!("Aborted submission of flow run '{}': {why}", key.run));
                // Whatever the API answered before, perhaps to a try that the client made again: the history tells.
                if cancelling {
                    finish_cancellation(cx).await;
                }
                return false;
            }
        }
    }
}

/// Looks at the run again that was shown some time ago. When it was seen as it was shown; none if it cannot be claimed any more.
async fn look(cx: &RunContext, shown: Instant) -> Option<Instant> {
    match cx.around.api.look(cx.offer.key.run).await {
        Some(Look { state_type, asked }) => match state_type {
            Some(StateType::Scheduled) => Some(asked),
            Some(StateType::Pending | StateType::Cancelling) | None => Some(shown),
            Some(other) => {
                over(cx, &other);
                None
            }
        },
        None if shown.elapsed() > OLD_NEWS => may_still_be_claimed(cx).await.then_some(shown),
        None => Some(shown),
    }
}

/// Whether nobody else's claim came before ours. Without a history there is only the server's word. A run that was over when
/// our claim took effect gets the state back that it had.
async fn is_first(cx: &RunContext) -> bool {
    let key = cx.offer.key;
    let history = match cx.around.api.states(key.run).await {
        Ok(history) => history,
        Err(error) => {
            tracing::debug!("the run's history cannot be read: {}", ErrorChain(&error));
            return true;
        }
    };
    let (cause, taken) = match precedence(key, &history) {
        Precedence::First => return true,
        Precedence::Second => (Refusal::ClaimedElsewhere, "another worker claimed it first".to_owned()),
        Precedence::TooLate(state) => {
            let request = proposal::restored(key.run, &state);
            ask(cx, &request).await;
            (Refusal::NotScheduled, format!("it was {} when the claim took effect", state.state_type))
        }
    };
    refused(cx, cause, format!("Aborted submission of flow run '{}': {taken}", key.run));
    false
}

/// Whether the run is still as the poll showed it, or ours already. An API that does not say leaves it to its verdict.
async fn may_still_be_claimed(cx: &RunContext) -> bool {
    let Ok(current) = cx.around.api.flow_run(cx.offer.key.run).await else { return true };
    let Some(current) = current else {
        deleted(cx);
        return false;
    };
    match &current.state_type {
        Some(StateType::Scheduled | StateType::Pending | StateType::Cancelling) | None => true,
        Some(other) => {
            over(cx, other);
            false
        }
    }
}

fn over(cx: &RunContext, state_type: &StateType) {
    let why = format!("Aborted submission of flow run '{}': it is {state_type} already", cx.offer.key.run);
    refused(cx, Refusal::NotScheduled, why);
}

/// If the claim took effect, its answer was lost, and the run was cancelled meanwhile, nobody else will finish that.
async fn finish_cancellation(cx: &RunContext) {
    if history(cx).await.is_some_and(|history| was_claimed(cx.offer.key, &history)) {
        cancelled::settle(cx, proposal::CANCELLED_BEFORE_START).await;
    }
}

/// Says why a run is not taken: in the run's log the first time, and only in the worker's own after that, because the run
/// is offered again and again.
fn refused(cx: &RunContext, cause: Refusal, why: String) {
    cx.metrics().refused(cause);
    if cx.offer.refused_before {
        tracing::debug!("{why}");
        cx.note(why);
    } else {
        cx.log().info(why);
    }
}

fn deleted(cx: &RunContext) {
    cx.metrics().refused(Refusal::RunDeleted);
    tracing::info!("the flow run was deleted before it was claimed");
}

#[derive(Debug, PartialEq)]
enum Judgement {
    Ours,
    AskAgain(Duration),
    NotOurs {
        cause: Refusal,
        why: String,
        /// The run is being cancelled.
        cancelling: bool,
    },
}

fn not_ours(cause: Refusal, why: impl Into<String>) -> Judgement {
    Judgement::NotOurs { cause, why: why.into(), cancelling: false }
}

/// Reads the server's verdict on a claim.
///
/// A rejection that shows the run in the Pending state made by this very claim is an acceptance whose answer was lost.
fn judge(key: LaunchKey, verdict: Verdict) -> Judgement {
    match verdict {
        Verdict::Accept(_) => Judgement::Ours,
        Verdict::Wait { delay, .. } => Judgement::AskAgain(delay),
        Verdict::Abort { reason } => {
            let reason = reason.unwrap_or_else(|| "no reason given".to_owned());
            not_ours(Refusal::Aborted, format!("Server sent an abort signal: {reason}"))
        }
        Verdict::Reject { state, reason } => match state {
            Some(state) if state.state_type == StateType::Pending => {
                let made_by = state.state_details.transition_id;
                if made_by.is_none_or(|made_by| made_by == key.claim) {
                    Judgement::Ours
                } else {
                    not_ours(Refusal::ClaimedElsewhere, "Another worker has claimed it")
                }
            }
            Some(state) => Judgement::NotOurs {
                cause: Refusal::NotScheduled,
                why: format!("Server returned a non-pending state '{}'", state.state_type),
                cancelling: state.state_type == StateType::Cancelling,
            },
            None => not_ours(Refusal::Rejected, reason.unwrap_or_else(|| "Server rejected the claim".to_owned())),
        },
    }
}

#[cfg(test)]
mod tests {
    use central_api_wire::state::{State, StateDetails};
    use uuid::Uuid;
    use worker_core::ids::{RunId, TransitionId};

    use super::*;

    fn key() -> LaunchKey {
        LaunchKey { run: RunId(Uuid::from_u128(1)), claim: TransitionId(Uuid::from_u128(2)) }
    }

    fn rejected(state_type: StateType, transition: Option<u128>) -> Verdict {
        let transition_id = transition.map(|id| TransitionId(Uuid::from_u128(id)));
        let state = State {
            state_details: StateDetails { transition_id, ..StateDetails::default() },
            ..State::of_type(state_type)
        };
        Verdict::Reject { state: Some(state), reason: None }
    }

    #[test]
    fn verdicts_on_a_claim() {
        let ours = |verdict| judge(key(), verdict) == Judgement::Ours;
        assert!(ours(Verdict::Accept(None)));
        assert!(ours(rejected(StateType::Pending, Some(2))), "our own claim, its answer lost");
        assert!(ours(rejected(StateType::Pending, None)));
        assert!(!ours(rejected(StateType::Pending, Some(3))), "somebody else's claim");
        assert!(!ours(rejected(StateType::Cancelling, Some(2))));
        assert!(!ours(Verdict::Reject { state: None, reason: None }));
        assert!(!ours(Verdict::Abort { reason: None }));
        let delay = Duration::from_secs(5);
        assert_eq!(judge(key(), Verdict::Wait { delay, reason: None }), Judgement::AskAgain(delay));
    }

    #[test]
    fn a_refusal_says_what_the_server_said() {
        let reason = Some("This run is in a PENDING state".to_owned());
        assert_eq!(
            judge(key(), Verdict::Abort { reason }),
            not_ours(Refusal::Aborted, "Server sent an abort signal: This run is in a PENDING state")
        );
        assert_eq!(
            judge(key(), rejected(StateType::Scheduled, None)),
            not_ours(Refusal::NotScheduled, "Server returned a non-pending state 'SCHEDULED'")
        );
    }
}

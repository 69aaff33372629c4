//! Asking the API about a run that an earlier process had claimed, or was about to.

use std::sync::Arc;

use central_api_wire::deployment::Deployment;
use central_api_wire::flow_run::FlowRun;
use central_api_wire::state::StateType;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use worker_core::ids::{DeploymentId, LaunchKey};

use super::asking::{history, read_back, until_answered};
use super::context::{Offer, RunContext};
use super::standing::{Precedence, pending_is_ours, precedence, was_claimed};

/// Runs that are due later than this were put off since, and are left to the polls.
const SOON: SignedDuration = SignedDuration::from_mins(1);

/// What the API knows of a run that was read back.
pub(super) enum Recalled {
    /// It is ours, claimed and not started: with the run, its pool and its deployment as they are now.
    Ours(Box<Offer>, Option<Arc<Deployment>>),
    /// Our claim has not taken effect, or not yet: it may be on its way, and is made again.
    NotClaimed(Box<Offer>),
    /// It is not ours, or over.
    NotOurs,
    /// It was claimed and is being cancelled: nobody else will finish that.
    Cancelled,
    /// It is ours, and its deployment was deleted.
    Orphan(DeploymentId),
    /// It is ours and cannot be started any more. The text is for the flow's author.
    Lost(String),
}

/// Reads the run, its pool and its deployment, for as long as it takes.
pub(super) async fn recall(cx: &RunContext) -> Recalled {
    let Some(run) = read_back(cx).await else {
        cx.note("the flow run was deleted");
        return Recalled::NotOurs;
    };
    let standing = standing(cx.offer.key, &run);
    cx.note(format!("an earlier worker process left it unstarted; the API has it as {}", state_name(&run)));
    match standing {
        Standing::NotOurs => return Recalled::NotOurs,
        Standing::Cancelling => return cancelling(cx).await,
        // Due later, it will be offered again.
        Standing::Scheduled if is_later(&run) => return Recalled::NotOurs,
        Standing::Ours if !is_first(cx).await => return Recalled::NotOurs,
        Standing::Ours | Standing::Scheduled => {}
    }
    let name = &cx.offer.pool.name;
    let Some(pool) = until_answered(|| cx.around.api.work_pool(name)).await else {
        return match standing {
            Standing::Ours => Recalled::Lost(format!("work pool '{name}' no longer exists")),
            Standing::Scheduled | Standing::Cancelling | Standing::NotOurs => Recalled::NotOurs,
        };
    };
    let deployment_id = run.deployment_id;
    let offer = Box::new(Offer {
        key: cx.offer.key,
        flow_run: run,
        pool: Arc::new(pool),
        refused_before: false,
        shown: Instant::now(),
    });
    if standing == Standing::Scheduled {
        return Recalled::NotClaimed(offer);
    }
    match deployment_id {
        None => Recalled::Ours(offer, None),
        Some(id) => match until_answered(|| cx.around.api.deployment(id, offer.shown)).await {
            Some(deployment) => Recalled::Ours(offer, Some(deployment)),
            None => Recalled::Orphan(id),
        },
    }
}

/// Whether our claim was the first. An earlier process may have died before it could ask.
async fn is_first(cx: &RunContext) -> bool {
    let history = history(cx).await.unwrap_or_default();
    precedence(cx.offer.key, &history) == Precedence::First
}

fn is_later(run: &FlowRun) -> bool {
    let soon = Timestamp::now().checked_add(SOON).unwrap_or(Timestamp::MAX);
    run.next_scheduled_start_time.is_some_and(|due| due > soon)
}

/// A run that is being cancelled is ours to finish only if it was ours before.
async fn cancelling(cx: &RunContext) -> Recalled {
    let key = cx.offer.key;
    let history = history(cx).await.unwrap_or_default();
    if was_claimed(key, &history) { Recalled::Cancelled } else { Recalled::NotOurs }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Ours,
    Scheduled,
    Cancelling,
    NotOurs,
}

/// How a run stands that this execution claimed or was about to. A Pending state names the transition that made it.
fn standing(key: LaunchKey, run: &FlowRun) -> Standing {
    match &run.state_type {
        Some(StateType::Scheduled) => Standing::Scheduled,
        Some(StateType::Pending) if pending_is_ours(key, run) => Standing::Ours,
        Some(StateType::Cancelling) => Standing::Cancelling,
        _ => Standing::NotOurs,
    }
}

fn state_name(run: &FlowRun) -> &str {
    run.state_name.as_deref().or(run.state_type.as_ref().map(StateType::as_str)).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;
    use worker_core::ids::{RunId, TransitionId};

    use super::*;

    #[test]
    fn a_pending_run_is_ours_only_by_our_own_transitions() {
        let key = LaunchKey { run: RunId(Uuid::from_u128(1)), claim: TransitionId(Uuid::from_u128(2)) };
        let run = |state_type: &str, transition: Option<TransitionId>| -> FlowRun {
            serde_json::from_value(json!({
                "id": key.run, "flow_id": Uuid::nil(), "state_type": state_type,
                "state": {"type": state_type, "state_details": {"transition_id": transition}},
            }))
            .unwrap()
        };
        let stranger = TransitionId(Uuid::from_u128(9));
        for (state_type, transition, expected) in [
            ("PENDING", Some(key.claim), Standing::Ours),
            ("PENDING", Some(key.transition("submitting")), Standing::Ours),
            ("PENDING", None, Standing::Ours),
            ("PENDING", Some(stranger), Standing::NotOurs),
            ("SCHEDULED", Some(stranger), Standing::Scheduled),
            ("CANCELLING", Some(stranger), Standing::Cancelling),
            ("RUNNING", Some(key.claim), Standing::NotOurs),
            ("FAILED", None, Standing::NotOurs),
        ] {
            assert_eq!(standing(key, &run(state_type, transition)), expected, "{state_type} {transition:?}");
        }
    }
}

//! Telling the API that the launch is near.

use central_api_client::{CallKind, Verdict};
use central_api_wire::state::StateType;
use jiff::Timestamp;
use serde_json::{Map, Value};
use worker_core::machine::{Input, StopReason};
use worker_core::spec::ReportState;

use super::context::RunContext;
use super::error_chain::ErrorChain;
use super::patience::patiently;
use super::proposal;
use crate::traces;

/// Proposes Submitting. It need not succeed: old servers do not know it. But a run that the server says is being cancelled
/// is not launched any more.
pub(super) async fn announce(cx: &RunContext, report_state: ReportState) -> Input {
    let run = cx.offer.key.run;
    match cx.around.api.propose(run, &proposal::submitting(cx.offer.key), CallKind::Claim).await {
        Ok(Verdict::Reject { state: Some(state), .. })
            if matches!(state.state_type, StateType::Cancelling | StateType::Cancelled) =>
        {
            return Input::Stop(StopReason::Cancelled);
        }
        // Servers before 3.6.22 refuse every second Pending, so only the run itself can say whether it is over.
        Ok(Verdict::Abort { .. }) if is_cancelled(cx).await => return Input::Stop(StopReason::Cancelled),
        Ok(_) => {}
        Err(error) => tracing::debug!("Submitting was not proposed: {}", ErrorChain(&error)),
    }
    if report_state == ReportState::Worker {
        until_due(cx).await;
    }
    Input::Announced
}

/// Labels the run with who executes it. An API that is away gets them when it is back; old servers do not know them.
pub(super) async fn label(cx: &RunContext) {
    let labels = labels(cx);
    let labelled = patiently(|| async {
        match cx.around.api.set_labels(cx.offer.key.run, &labels).await {
            // It looks like an API that is not there, and would be waited for.
            Err(error) if error.is_unknown_path() => Ok(Err(error)),
            Err(error) => Err(error),
            Ok(()) => Ok(Ok(())),
        }
    });
    if let Err(error) = labelled.await.flatten() {
        tracing::debug!("the run was not labelled: {}", ErrorChain(&error));
    }
}

/// Whether somebody cancelled the run since we claimed it. An API that does not say is no reason to wait.
async fn is_cancelled(cx: &RunContext) -> bool {
    match cx.around.api.flow_run(cx.offer.key.run).await {
        Ok(Some(run)) => matches!(run.state_type, Some(StateType::Cancelling | StateType::Cancelled)),
        Ok(None) | Err(_) => false,
    }
}

/// A run is offered a little before it is due. An engine waits for its time; a command that knows nothing of Prefect is
/// started when it is due.
async fn until_due(cx: &RunContext) {
    let Some(due) = cx.offer.flow_run.next_scheduled_start_time else { return };
    if let Ok(early) = due.duration_since(Timestamp::now()).try_into() {
        tokio::time::sleep(early).await;
    }
}

fn labels(cx: &RunContext) -> Map<String, Value> {
    let mut labels = Map::from_iter([
        ("prefect.worker.name".to_owned(), Value::from(cx.around.identity.name.clone())),
        ("prefect.worker.type".to_owned(), Value::from(cx.around.identity.kind.as_str())),
        ("prefect.work-pool.name".to_owned(), Value::from(cx.offer.pool.name.clone())),
        ("prefect.work-pool.id".to_owned(), Value::from(cx.offer.pool.id.to_string())),
    ]);
    // Where the engine looks for the span that its own are to be below.
    labels.extend(cx.trace.to_hand_on().map(|traceparent| (traces::LABEL.to_owned(), Value::from(traceparent))));
    labels
}

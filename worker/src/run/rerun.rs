//! Putting a run back that its infrastructure failed, where the pool asks for that.

use central_api_wire::state::StateType;
use jiff::Timestamp;
use serde_json::{Map, Value};
use worker_core::machine::CrashCause;

use super::asking::{ask, read_back};
use super::context::RunContext;
use super::error_chain::ErrorChain;
use super::{hooks, proposal};

/// The label that counts how often a run was put back: it goes with the run, whichever worker executes it next.
const RERUNS: &str = "worker.reruns";
/// The label that names the execution which was counted last, so that a repeated report does not count twice.
const COUNTED: &str = "worker.rerun-of";

/// Puts the run back to Scheduled instead of reporting its crash. False if it is to be reported.
pub(super) async fn put_back(cx: &RunContext, cause: &CrashCause, message: &str) -> bool {
    if !cx.around.rerun.covers(cause) {
        return false;
    }
    let Some(current) = read_back(cx).await else { return false };
    if !matches!(current.state_type, Some(StateType::Pending | StateType::Running)) {
        return false;
    }
    let labels = current.labels.unwrap_or_default();
    let earlier = labels.get(RERUNS).and_then(Value::as_u64).unwrap_or(0);
    let claim = cx.offer.key.claim.to_string();
    let is_counted = labels.get(COUNTED).and_then(Value::as_str) == Some(&claim);
    let attempt = if is_counted { earlier } else { earlier + 1 };
    if attempt > u64::from(cx.around.rerun.most) {
        cx.log().info(format!("The run was executed again {earlier} times, which is what the pool allows."));
        return false;
    }
    if !is_counted {
        let labels = Map::from_iter([(RERUNS.to_owned(), attempt.into()), (COUNTED.to_owned(), claim.into())]);
        // Without the count it could go on for ever.
        if let Err(error) = cx.around.api.set_labels(cx.offer.key.run, &labels).await {
            cx.log().warn(format!(
                "The run is not executed again, because that could not be counted: {}",
                ErrorChain(&error)
            ));
            return false;
        }
    }
    let most = cx.around.rerun.most;
    let text = format!("Executed again ({attempt} of at most {most}) because its infrastructure failed it: {message}");
    let request = proposal::scheduled(cx.offer.key, Some(Timestamp::now()), text.clone());
    let is_back = match ask(cx, &request).await {
        Some(verdict) => hooks::is_ours(cx, "scheduled", &verdict).await,
        None => false,
    };
    if is_back {
        cx.log().warn(text);
    }
    is_back
}

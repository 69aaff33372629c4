//! Having hooks of a flow run that its own process could not run.

use central_api_client::Verdict;
use central_api_wire::state::{State, StateType};
use infra_contract::{ErrorClass, FlowHooks};
use worker_core::handle::Handle;

use super::context::RunContext;
use super::launch::for_people;

/// What the engine writes on a run once it has begun to finish an acknowledged cancellation itself, hooks included.
const ENGINE_CANCELS: &str = "Flow run was cancelled.";

/// Has hooks run beside the infrastructure that is gone. At most once, however often it is asked for.
pub(super) async fn run(cx: &RunContext, handle: Option<&Handle>, hooks: FlowHooks) {
    let Some(handle) = handle else { return };
    let name = match hooks {
        FlowHooks::OnCancellation => "on_cancellation",
        FlowHooks::OnCrashed => "on_crashed",
    };
    match cx.around.plugin.run_hooks(handle, hooks).await {
        Ok(()) => cx.note(format!("the flow's {name} hooks were seen to")),
        Err(error) if error.class == ErrorClass::Unsupported => {
            tracing::debug!("{name} hooks are not run: {}", for_people(&error));
        }
        Err(error) => cx.log().warn(format!("The flow's {name} hooks did not run well: {}", for_people(&error))),
    }
}

/// Whether the engine had got to its cancellation hooks before it was ended.
pub(super) fn engine_cancelled(current: Option<&State>) -> bool {
    current.is_some_and(|state| {
        matches!(state.state_type, StateType::Cancelling | StateType::Cancelled)
            && state.message.as_deref() == Some(ENGINE_CANCELS)
    })
}

/// Whether a state that was proposed is the one that the run has by this execution's own word, said now or by an earlier
/// process. `named` is the name of the transition.
pub(super) async fn is_ours(cx: &RunContext, named: &str, verdict: &Verdict) -> bool {
    let transition = Some(cx.offer.key.transition(named));
    match verdict {
        Verdict::Accept(_) => true,
        Verdict::Reject { state: Some(state), .. } if state.state_details.transition_id == transition => true,
        Verdict::Abort { .. } | Verdict::Reject { .. } if cx.is_resumed => {
            let current = cx.around.api.flow_run(cx.offer.key.run).await.ok().flatten().and_then(|run| run.state);
            current.is_some_and(|state| state.state_details.transition_id == transition)
        }
        Verdict::Abort { .. } | Verdict::Reject { .. } | Verdict::Wait { .. } => false,
    }
}

//! Telling the API that a run's infrastructure exists and has to wait.

use std::time::Duration;

use central_api_client::{ApiError, CallKind};
use central_api_wire::flow_run::FlowRun;
use central_api_wire::state::{SetStateRequest, StateType};
use tokio::time::timeout;
use worker_core::ids::RunId;

use super::context::RunContext;
use super::error_chain::ErrorChain;
use super::proposal;
use crate::control_plane::ControlPlane;

/// Nothing hangs on it, so an API that is slow is not waited for.
const BUDGET: Duration = Duration::from_secs(5);

/// The state's name, as Prefect's observer of Kubernetes gives it.
const INFRASTRUCTURE_PENDING: &str = "InfrastructurePending";

/// Proposes it, unless the run has got further. It need not succeed.
pub(super) async fn announce(cx: &RunContext, why: &str) {
    let request = proposal::infrastructure_pending(cx.offer.key, why);
    propose(&*cx.around.api, cx.offer.key.run, &request).await;
}

/// The same for a run that somebody else executes.
pub(super) async fn announce_elsewhere(api: &dyn ControlPlane, run: RunId, why: &str) {
    propose(api, run, &proposal::infrastructure_pending_elsewhere(run, why)).await;
}

async fn propose(api: &dyn ControlPlane, run: RunId, request: &SetStateRequest) {
    let proposed = async {
        // The server would take Pending also over Running.
        let current = api.flow_run(run).await?;
        if current.as_ref().is_some_and(can_be_announced) {
            api.propose(run, request, CallKind::Poll).await?;
        }
        Ok::<_, ApiError>(())
    };
    match timeout(BUDGET, proposed).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("that the infrastructure waits was not proposed: {}", ErrorChain(&error)),
        Err(_) => tracing::debug!("that the infrastructure waits was not proposed within {BUDGET:?}"),
    }
}

/// Whether the run still waits for its infrastructure and nobody has said so.
fn can_be_announced(run: &FlowRun) -> bool {
    let says_so = run.state.as_ref().is_some_and(|state| state.name() == INFRASTRUCTURE_PENDING);
    run.state_type == Some(StateType::Pending) && !says_so
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn c113_only_a_run_that_waits_is_said_to_wait_and_once() {
        let run = |state_type: &str, name: &str| -> FlowRun {
            let state = json!({"type": state_type, "name": name, "state_details": {}});
            let run = json!({"id": Uuid::nil(), "flow_id": Uuid::nil(), "state_type": state_type, "state": state});
            serde_json::from_value(run).unwrap()
        };
        assert!(can_be_announced(&run("PENDING", "Pending")) && can_be_announced(&run("PENDING", "Submitting")));
        assert!(!can_be_announced(&run("PENDING", INFRASTRUCTURE_PENDING)));
        for state in ["RUNNING", "COMPLETED", "CRASHED", "PAUSED", "CANCELLING", "SCHEDULED"] {
            assert!(!can_be_announced(&run(state, state)), "{state}");
        }
    }
}

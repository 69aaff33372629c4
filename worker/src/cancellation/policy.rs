//! Which cancellations are this worker's business.

use central_api_wire::flow_run::FlowRun;
use central_api_wire::state::StateType;
use infra_contract::CancelsRunning;

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CancellationPolicy {
    /// Who ends a running run of this kind.
    pub cancels_running: CancelsRunning,
    /// `PREFECT_WORKER_ENABLE_CANCELLATION`: the worker also ends runs of kinds that have a supervisor of their own, for
    /// as long as that supervisor has not started.
    pub enabled: bool,
}

/// What to do about a run that is said to be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Somebody else does it, or there is nothing to do.
    Leave,
    /// Stop it.
    Stop,
}

impl CancellationPolicy {
    /// Whether there is anything to observe.
    pub const fn observes(self) -> bool {
        matches!(self.cancels_running, CancelsRunning::Worker) || self.enabled
    }

    /// Decides by the run as it is now: what was heard may be old, and a run that has been resumed since must live.
    pub fn reaction(self, run: &FlowRun) -> Reaction {
        let is_cancelled = matches!(run.state_type, Some(StateType::Cancelling | StateType::Cancelled));
        if !is_cancelled || !self.observes() {
            return Reaction::Leave;
        }
        // Once it has started, the supervisor inside the infrastructure ends it and runs its hooks.
        let supervised = self.cancels_running == CancelsRunning::Infrastructure && run.start_time.is_some();
        if supervised { Reaction::Leave } else { Reaction::Stop }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    const PROCESS: CancellationPolicy = CancellationPolicy { cancels_running: CancelsRunning::Worker, enabled: false };
    const CONTAINER: CancellationPolicy =
        CancellationPolicy { cancels_running: CancelsRunning::Infrastructure, enabled: true };

    fn run(state_type: &str, started: bool) -> FlowRun {
        serde_json::from_value(json!({
            "id": Uuid::nil(), "flow_id": Uuid::nil(), "state_type": state_type,
            "start_time": started.then_some("2026-11-21T01:00:00Z"),
        }))
        .unwrap()
    }

    #[test]
    fn c117_cancellation_by_the_worker_is_off_by_default_where_the_infrastructure_has_a_supervisor() {
        let policy = CancellationPolicy { enabled: false, ..CONTAINER };
        assert!(!policy.observes());
        assert_eq!(policy.reaction(&run("CANCELLING", false)), Reaction::Leave);
        assert!(PROCESS.observes(), "the process kind has no supervisor");
    }

    #[test]
    fn c119_a_run_that_has_started_is_left_to_its_supervisor() {
        assert_eq!(CONTAINER.reaction(&run("CANCELLING", true)), Reaction::Leave);
        assert_eq!(CONTAINER.reaction(&run("CANCELLING", false)), Reaction::Stop);
        assert_eq!(PROCESS.reaction(&run("CANCELLING", true)), Reaction::Stop);
    }

    #[test]
    fn old_news_is_left_alone() {
        for state in ["RUNNING", "SCHEDULED", "COMPLETED", "CRASHED"] {
            assert_eq!(PROCESS.reaction(&run(state, true)), Reaction::Leave, "{state}");
        }
        assert_eq!(PROCESS.reaction(&run("CANCELLED", true)), Reaction::Stop, "its infrastructure still runs");
    }
}

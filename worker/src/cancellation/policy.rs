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
    /// Whether runs are cancelled by nobody else, so that they cannot go on unobserved.
    pub const fn must_observe(self) -> bool {
        matches!(self.cancels_running, CancelsRunning::Worker) || self.enabled
    }

    /// Decides by the run as it is now: what was heard may be old, and a run that has been resumed since must live.
    /// `cancels_itself` says whether there is a supervisor inside its infrastructure: a command that knows nothing of Prefect
    /// has none.
    pub fn reaction(self, run: &FlowRun, cancels_itself: bool) -> Reaction {
        let is_cancelled = matches!(run.state_type, Some(StateType::Cancelling | StateType::Cancelled));
        // Once it has started, the supervisor ends it and runs its hooks.
        let is_ours = !cancels_itself || (self.enabled && run.start_time.is_none());
        if is_cancelled && is_ours { Reaction::Stop } else { Reaction::Leave }
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
        assert!(!policy.must_observe());
        assert_eq!(policy.reaction(&run("CANCELLING", false), true), Reaction::Leave);
        assert!(PROCESS.must_observe(), "the process kind has no supervisor");
    }

    #[test]
    fn a_command_in_a_container_that_knows_nothing_of_prefect_is_cancelled_by_the_worker() {
        let policy = CancellationPolicy { enabled: false, ..CONTAINER };
        for started in [true, false] {
            assert_eq!(policy.reaction(&run("CANCELLING", started), false), Reaction::Stop);
        }
    }

    #[test]
    fn c119_a_run_that_has_started_is_left_to_its_supervisor() {
        assert_eq!(CONTAINER.reaction(&run("CANCELLING", true), true), Reaction::Leave);
        assert_eq!(CONTAINER.reaction(&run("CANCELLING", false), true), Reaction::Stop);
        assert_eq!(PROCESS.reaction(&run("CANCELLING", true), false), Reaction::Stop);
    }

    #[test]
    fn old_news_is_left_alone() {
        for state in ["RUNNING", "SCHEDULED", "COMPLETED", "CRASHED"] {
            assert_eq!(PROCESS.reaction(&run(state, true), false), Reaction::Leave, "{state}");
        }
        assert_eq!(PROCESS.reaction(&run("CANCELLED", true), false), Reaction::Stop, "its infrastructure still runs");
    }
}

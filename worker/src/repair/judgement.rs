//! What has to happen to a run, given what the API knows of it and what is known here. Pure.

use central_api_wire::flow_run::FlowRun;
use central_api_wire::state::StateType;
use jiff::{SignedDuration, Timestamp};
use worker_core::machine::{Input, StopReason};

use crate::live_runs::{Seen, Stage};

/// An engine that has reported its end goes on for a moment: it flushes logs and events. Infrastructure that is there this
/// long after its run was over will not end by itself.
const OVERDUE: SignedDuration = SignedDuration::from_secs(60);
/// A run that is not found this long after it was started was deleted.
const MISSED: SignedDuration = SignedDuration::from_secs(10);

/// What a live run has to be told, if anything. `run` is absent if the API has none of that id.
pub(super) fn of_live(seen: &Seen, run: Option<&FlowRun>, now: Timestamp) -> Option<Input> {
    let may_be_stopped = matches!(seen.stage, Stage::Preparing | Stage::Launching | Stage::Running);
    let in_stage_for = now.duration_since(seen.since);
    let Some(run) = run else {
        return (may_be_stopped && in_stage_for >= MISSED).then_some(Input::Stop(StopReason::Over));
    };
    match &run.state_type {
        Some(StateType::Cancelling | StateType::Cancelled) => {
            may_be_stopped.then_some(Input::Stop(StopReason::Cancelled))
        }
        Some(StateType::Completed | StateType::Failed | StateType::Crashed) => {
            let ended = run.state.as_ref().and_then(|state| state.timestamp).unwrap_or(now);
            let is_overdue = now.duration_since(ended).min(in_stage_for) >= OVERDUE;
            (seen.stage == Stage::Running && is_overdue).then_some(Input::Stop(StopReason::Over))
        }
        Some(
            StateType::Scheduled | StateType::Pending | StateType::Running | StateType::Paused | StateType::Other(_),
        )
        | None => None,
    }
}

/// What becomes of infrastructure that carries our mark and that no record tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stray {
    /// Its run goes on: it is watched and reported like any other.
    Adopt,
    /// Its run is over, or starts anew elsewhere: it is stopped and removed.
    Remove,
}

/// What becomes of infrastructure that no record tells of.
pub(super) fn of_stray(run: Option<&FlowRun>) -> Stray {
    match run.and_then(|run| run.state_type.as_ref()) {
        Some(
            StateType::Pending | StateType::Running | StateType::Paused | StateType::Cancelling | StateType::Other(_),
        ) => Stray::Adopt,
        Some(
            StateType::Scheduled | StateType::Completed | StateType::Failed | StateType::Crashed | StateType::Cancelled,
        )
        | None => Stray::Remove,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;
    use worker_core::ids::{LaunchKey, RunId, TransitionId};

    use super::*;

    fn now() -> Timestamp {
        "2026-11-21T01:00:00Z".parse().unwrap()
    }

    fn ago(seconds: i64) -> Timestamp {
        now().checked_sub(SignedDuration::from_secs(seconds)).unwrap()
    }

    fn seen(stage: Stage, since: Timestamp) -> Seen {
        let key = LaunchKey { run: RunId(Uuid::nil()), claim: TransitionId(Uuid::nil()) };
        let (name, pool) = ("r".to_owned(), "p".to_owned());
        Seen { key, name, pool, stage, since, infrastructure: None, is_adopted: false }
    }

    fn run(state_type: &str, at: Timestamp) -> FlowRun {
        let state = json!({"type": state_type, "timestamp": at, "state_details": {}});
        serde_json::from_value(json!({
            "id": Uuid::nil(), "flow_id": Uuid::nil(), "state_type": state_type, "state": state,
        }))
        .unwrap()
    }

    #[test]
    fn a_cancellation_that_nobody_heard_of_is_told() {
        for state in ["CANCELLING", "CANCELLED"] {
            for stage in [Stage::Preparing, Stage::Launching, Stage::Running] {
                let told = of_live(&seen(stage, ago(1)), Some(&run(state, now())), now());
                assert_eq!(told, Some(Input::Stop(StopReason::Cancelled)), "{state} {stage:?}");
            }
            assert_eq!(of_live(&seen(Stage::Stopping, ago(1)), Some(&run(state, now())), now()), None);
        }
    }

    #[test]
    fn infrastructure_that_outlives_its_run_is_stopped_and_one_that_is_about_to_end_is_not() {
        let over = Some(Input::Stop(StopReason::Over));
        for state in ["COMPLETED", "FAILED", "CRASHED"] {
            let judged = |since, ended| of_live(&seen(Stage::Running, since), Some(&run(state, ended)), now());
            assert_eq!(judged(ago(300), ago(61)), over);
            assert_eq!(judged(ago(300), ago(5)), None, "it flushes its logs");
            assert_eq!(judged(ago(5), ago(300)), None, "the end is that of an earlier execution");
            assert_eq!(of_live(&seen(Stage::Reporting, ago(300)), Some(&run(state, ago(300))), now()), None);
        }
        for state in ["SCHEDULED", "PENDING", "RUNNING", "PAUSED", "NEWER"] {
            assert_eq!(of_live(&seen(Stage::Running, ago(300)), Some(&run(state, ago(300))), now()), None, "{state}");
        }
    }

    #[test]
    fn a_deleted_run_does_not_go_on() {
        assert_eq!(of_live(&seen(Stage::Running, ago(20)), None, now()), Some(Input::Stop(StopReason::Over)));
        assert_eq!(of_live(&seen(Stage::Running, ago(1)), None, now()), None, "it may be newer than the answer");
        assert_eq!(of_live(&seen(Stage::Claiming, ago(20)), None, now()), None);
    }

    #[test]
    fn strays_are_adopted_while_their_run_goes_on() {
        for state in ["PENDING", "RUNNING", "PAUSED", "CANCELLING"] {
            assert_eq!(of_stray(Some(&run(state, now()))), Stray::Adopt, "{state}");
        }
        for state in ["SCHEDULED", "COMPLETED", "FAILED", "CRASHED", "CANCELLED"] {
            assert_eq!(of_stray(Some(&run(state, now()))), Stray::Remove, "{state}");
        }
        assert_eq!(of_stray(None), Stray::Remove);
    }
}

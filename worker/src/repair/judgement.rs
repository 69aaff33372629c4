//! What has to happen to a run, given what the API knows of it and what is known here. Pure.

use central_api_wire::flow_run::FlowRun;
use central_api_wire::state::StateType;
use jiff::{SignedDuration, Timestamp};
use worker_core::machine::{Input, StopReason};

use crate::live_runs::{Seen, Stage};
use crate::pool::poller::retries_in_process;

/// An engine that has reported its end goes on for a while: it runs the flow's hooks, and flushes logs and events.
const OVERDUE: SignedDuration = SignedDuration::from_mins(10);
/// It does not report a crash and go on: infrastructure that is there this long after its run was crashed by somebody else
/// will not end by itself.
const OVERDUE_AFTER_A_CRASH: SignedDuration = SignedDuration::from_secs(60);
/// What is inside the infrastructure of a cancelled run gets so long to end it and to run its hooks.
const CANCELS_ITSELF: SignedDuration = SignedDuration::from_secs(60);
/// A run that is not found this long after it was started was deleted.
const MISSED: SignedDuration = SignedDuration::from_secs(10);

/// What the API has of a run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Known<'r> {
    /// The run.
    Run(&'r FlowRun),
    /// It was deleted: asked for by its id, the API said so.
    Deleted,
    /// It did not say.
    Unknown,
}

/// What a live run has to be told, if anything.
pub(super) fn of_live(seen: &Seen, known: Known<'_>, now: Timestamp) -> Option<Input> {
    let may_be_stopped = matches!(seen.stage, Stage::Preparing | Stage::Launching | Stage::Running);
    let in_stage_for = now.duration_since(seen.since);
    let run = match known {
        Known::Run(run) => run,
        Known::Deleted => return (may_be_stopped && in_stage_for >= MISSED).then_some(Input::Stop(StopReason::Over)),
        Known::Unknown => return None,
    };
    match &run.state_type {
        Some(StateType::Cancelling | StateType::Cancelled) => {
            let since = run.state.as_ref().and_then(|state| state.timestamp).unwrap_or(now);
            let is_left = seen.cancels_itself() && now.duration_since(since) < CANCELS_ITSELF;
            (may_be_stopped && !is_left).then_some(Input::Stop(StopReason::Cancelled))
        }
        Some(StateType::Completed | StateType::Failed | StateType::Crashed) => {
            let ended = run.state.as_ref().and_then(|state| state.timestamp).unwrap_or(now);
            let is_crash = run.state_type == Some(StateType::Crashed);
            let limit = if is_crash { OVERDUE_AFTER_A_CRASH } else { OVERDUE };
            let is_overdue = now.duration_since(ended).min(in_stage_for) >= limit;
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
    /// The API does not say: it is asked again with the next pass.
    Leave,
}

/// What becomes of infrastructure that no record tells of. `moved_on` says whether the run went on without it.
pub(super) fn of_stray(known: Known<'_>, moved_on: bool) -> Stray {
    let run = match known {
        Known::Run(run) => run,
        Known::Deleted => return Stray::Remove,
        Known::Unknown => return Stray::Leave,
    };
    match &run.state_type {
        _ if moved_on => Stray::Remove,
        // Its own process waits for the next try.
        Some(StateType::Scheduled) if retries_in_process(run) => Stray::Adopt,
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
    use infra_contract::{CancelsRunning, Capabilities};
    use serde_json::json;
    use uuid::Uuid;
    use worker_core::ids::{LaunchKey, RunId, TransitionId};
    use worker_core::spec::ReportState;

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
        let capabilities = Capabilities {
            cancels_running: CancelsRunning::Worker,
            handles_cleanup_messages: true,
            outlives_worker: false,
            puts_runs_back: false,
        };
        let report_state = ReportState::Engine;
        Seen {
            key,
            name,
            pool,
            kind: worker_core::handle::PluginKind::new("process"),
            stage,
            since,
            infrastructure: None,
            is_adopted: false,
            capabilities,
            slots_held: crate::slots_held::SlotsHeld::UntilEnd,
            report_state,
            is_supervised: None,
        }
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
                let told = of_live(&seen(stage, ago(1)), Known::Run(&run(state, now())), now());
                assert_eq!(told, Some(Input::Stop(StopReason::Cancelled)), "{state} {stage:?}");
            }
            assert_eq!(of_live(&seen(Stage::Stopping, ago(1)), Known::Run(&run(state, now())), now()), None);
        }
    }

    #[test]
    fn what_cancels_itself_is_given_time_for_it() {
        let mut container = seen(Stage::Running, ago(300));
        container.capabilities.cancels_running = CancelsRunning::Infrastructure;
        let told = |container: &Seen, since| of_live(container, Known::Run(&run("CANCELLING", ago(since))), now());
        assert_eq!(told(&container, 59), None);
        assert_eq!(told(&container, 60), Some(Input::Stop(StopReason::Cancelled)));
        container.is_supervised = Some(false);
        assert_eq!(told(&container, 1), Some(Input::Stop(StopReason::Cancelled)), "it is the engine itself");
        container.is_supervised = Some(true);
        container.report_state = ReportState::Worker;
        assert_eq!(told(&container, 1), Some(Input::Stop(StopReason::Cancelled)), "nothing in it knows of Prefect");
    }

    #[test]
    fn infrastructure_that_outlives_its_run_is_stopped_and_one_that_is_about_to_end_is_not() {
        let over = Some(Input::Stop(StopReason::Over));
        for state in ["COMPLETED", "FAILED", "CRASHED"] {
            let judged = |since, ended| of_live(&seen(Stage::Running, since), Known::Run(&run(state, ended)), now());
            assert_eq!(judged(ago(3_000), ago(601)), over);
            assert_eq!(judged(ago(300), ago(5)), None, "it flushes its logs");
            assert_eq!(judged(ago(5), ago(300)), None, "the end is that of an earlier execution");
            assert_eq!(of_live(&seen(Stage::Reporting, ago(300)), Known::Run(&run(state, ago(300))), now()), None);
        }
        for state in ["SCHEDULED", "PENDING", "RUNNING", "PAUSED", "NEWER"] {
            assert_eq!(
                of_live(&seen(Stage::Running, ago(300)), Known::Run(&run(state, ago(300))), now()),
                None,
                "{state}"
            );
        }
    }

    #[test]
    fn a_run_that_somebody_else_crashed_is_not_waited_for() {
        let judged = |state| of_live(&seen(Stage::Running, ago(300)), Known::Run(&run(state, ago(61))), now());
        assert_eq!(judged("CRASHED"), Some(Input::Stop(StopReason::Over)));
        assert_eq!(judged("COMPLETED"), None, "its hooks may take a while");
    }

    #[test]
    fn what_the_api_does_not_say_changes_nothing() {
        assert_eq!(of_live(&seen(Stage::Running, ago(300)), Known::Unknown, now()), None);
    }

    #[test]
    fn a_deleted_run_does_not_go_on() {
        assert_eq!(of_live(&seen(Stage::Running, ago(20)), Known::Deleted, now()), Some(Input::Stop(StopReason::Over)));
        assert_eq!(
            of_live(&seen(Stage::Running, ago(1)), Known::Deleted, now()),
            None,
            "it may be newer than the answer"
        );
        assert_eq!(of_live(&seen(Stage::Claiming, ago(20)), Known::Deleted, now()), None);
    }

    #[test]
    fn strays_are_adopted_while_their_run_goes_on() {
        for state in ["PENDING", "RUNNING", "PAUSED", "CANCELLING"] {
            assert_eq!(of_stray(Known::Run(&run(state, now())), false), Stray::Adopt, "{state}");
        }
        for state in ["SCHEDULED", "COMPLETED", "FAILED", "CRASHED", "CANCELLED"] {
            assert_eq!(of_stray(Known::Run(&run(state, now())), false), Stray::Remove, "{state}");
        }
        assert_eq!(of_stray(Known::Deleted, false), Stray::Remove);
        assert_eq!(of_stray(Known::Unknown, false), Stray::Leave);
        assert_eq!(of_stray(Known::Run(&run("RUNNING", now())), true), Stray::Remove, "somebody else executes it");
    }
}

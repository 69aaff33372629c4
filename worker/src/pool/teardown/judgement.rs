//! What a message asks for, given what is known of its run. Pure.

use central_api_wire::flow_run::FlowRun;
use central_api_wire::state::StateType;

use crate::live_runs::Seen;

/// How a message is given back to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conclusion {
    /// Done, or there was nothing to do.
    Ack,
    /// Not done here.
    Release(Reason),
}

/// Why a message is given back undone. The server stores these words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The run has infrastructure, and the message does not say which.
    MissingInfrastructureHandle,
    /// It is none of ours.
    InfrastructureNotAvailable,
    /// It cannot be stopped from outside.
    UnsupportedWorkerType,
    /// It was tried and failed.
    HandlerFailed,
    /// The message is not about what its kind is about.
    UnexpectedPayloadKind,
    /// We do another one.
    ConcurrencyLimitReached,
    /// We never asked for such.
    UnsupportedCleanupKind,
}

impl Reason {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::MissingInfrastructureHandle => "missing_infrastructure_handle",
            Self::InfrastructureNotAvailable => "infrastructure_not_available",
            Self::UnsupportedWorkerType => "unsupported_worker_type",
            Self::HandlerFailed => "handler_failed",
            Self::UnexpectedPayloadKind => "unexpected_payload_kind",
            Self::ConcurrencyLimitReached => "concurrency_limit_reached",
            Self::UnsupportedCleanupKind => "unsupported_cleanup_kind",
        }
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task<'t> {
    /// Nothing more.
    Conclude(Conclusion),
    /// Stop the live run, which knows best how.
    StopTheRun,
    /// Look for the infrastructure of this id, for which no live run stands.
    LookFor(&'t str),
}

/// What a message about this infrastructure asks for. `run` is absent if the API has none of that id, `live` if none of that
/// id is executed here.
pub(super) fn task<'t>(run: Option<&FlowRun>, infrastructure: Option<&'t str>, live: Option<&Seen>) -> Task<'t> {
    let Some(run) = run else { return Task::Conclude(Conclusion::Ack) };
    if live.is_some_and(|live| is_about(live, infrastructure, run)) {
        return Task::StopTheRun;
    }
    match infrastructure {
        Some(id) => Task::LookFor(id),
        None if run.infrastructure_pid.is_none() => Task::Conclude(Conclusion::Ack),
        None => Task::Conclude(Conclusion::Release(Reason::MissingInfrastructureHandle)),
    }
}

/// Whether a message means the execution that is live. A message may be old, and the run started anew since.
fn is_about(live: &Seen, infrastructure: Option<&str>, run: &FlowRun) -> bool {
    match infrastructure {
        Some(id) => live.infrastructure.as_ref().is_some_and(|own| own.0 == id),
        None => matches!(run.state_type, Some(StateType::Cancelling | StateType::Cancelled)),
    }
}

#[cfg(test)]
mod tests {
    use infra_contract::{CancelsRunning, Capabilities};
    use jiff::Timestamp;
    use serde_json::json;
    use uuid::Uuid;
    use worker_core::ids::{InfraId, LaunchKey, RunId, TransitionId};
    use worker_core::spec::ReportState;

    use super::*;
    use crate::live_runs::Stage;

    fn run(state_type: &str, infrastructure: Option<&str>) -> FlowRun {
        serde_json::from_value(json!({
            "id": Uuid::nil(), "flow_id": Uuid::nil(), "state_type": state_type, "infrastructure_pid": infrastructure,
        }))
        .unwrap()
    }

    fn live(infrastructure: Option<&str>) -> Seen {
        Seen {
            key: LaunchKey { run: RunId(Uuid::nil()), claim: TransitionId(Uuid::nil()) },
            name: "r".to_owned(),
            pool: "p".to_owned(),
            kind: worker_core::handle::PluginKind::new("process"),
            stage: Stage::Running,
            since: Timestamp::UNIX_EPOCH,
            infrastructure: infrastructure.map(|id| InfraId(id.to_owned())),
            is_adopted: false,
            capabilities: Capabilities {
                cancels_running: CancelsRunning::Worker,
                handles_cleanup_messages: true,
                outlives_worker: false,
                puts_runs_back: false,
            },
            slots_held: crate::slots_held::SlotsHeld::UntilEnd,
            report_state: ReportState::Engine,
            is_supervised: None,
        }
    }

    const ACK: Task<'static> = Task::Conclude(Conclusion::Ack);

    #[test]
    fn a_run_that_is_gone_needs_nothing() {
        assert_eq!(task(None, Some("7"), None), ACK);
    }

    #[test]
    fn the_live_run_with_that_infrastructure_is_stopped_whatever_its_state() {
        for state in ["CANCELLED", "RUNNING"] {
            assert_eq!(task(Some(&run(state, Some("7"))), Some("7"), Some(&live(Some("7")))), Task::StopTheRun);
        }
    }

    #[test]
    fn a_run_that_was_started_anew_is_not_stopped_for_an_old_message() {
        let anew = run("RUNNING", Some("8"));
        assert_eq!(task(Some(&anew), Some("7"), Some(&live(Some("8")))), Task::LookFor("7"));
        assert_eq!(task(Some(&anew), Some("7"), Some(&live(None))), Task::LookFor("7"));
        let unnamed = task(Some(&anew), None, Some(&live(Some("8"))));
        assert_eq!(unnamed, Task::Conclude(Conclusion::Release(Reason::MissingInfrastructureHandle)));
    }

    #[test]
    fn a_message_without_infrastructure_is_about_a_run_that_is_live_and_cancelled() {
        assert_eq!(task(Some(&run("CANCELLED", None)), None, Some(&live(None))), Task::StopTheRun);
        assert_eq!(task(Some(&run("CANCELLED", None)), None, None), ACK);
        let missing = Task::Conclude(Conclusion::Release(Reason::MissingInfrastructureHandle));
        assert_eq!(task(Some(&run("CANCELLED", Some("7"))), None, None), missing);
    }
}

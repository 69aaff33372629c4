//! How an execution ended, and what has to be reported about it.

use serde::{Deserialize, Serialize};

use super::input::StopReason;
use crate::exit::{Conclusion, Exit, ExitReport};
use crate::spec::ReportState;

/// How an execution ended, as far as the worker has something to say about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The engine settled the run's state; there is nothing to report but the end of the infrastructure.
    Settled(Exit),
    /// The command succeeded and the worker reports for it.
    Completed,
    /// The command failed and the worker reports for it.
    Failed(ExitReport),
    /// The infrastructure failed the run.
    Crashed(CrashCause),
    /// The run was cancelled. The exit is absent when nothing was started.
    Cancelled(Option<Exit>),
    /// The run was claimed but not started, and goes back to Scheduled for another worker.
    Released,
}

/// What crashed a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrashCause {
    /// It never started. The text is for the flow's author.
    Submit(String),
    /// The worker's policy does not allow it. The text is for the flow's author.
    Policy(String),
    /// It ended in a way that the engine did not account for.
    Exited(ExitReport),
    /// It disappeared.
    Gone,
    /// The worker was stopped and took it along.
    WorkerStopped(Option<ExitReport>),
    /// The worker ended it because nobody could tell whether it was cancelled.
    Unobserved(Option<ExitReport>),
}

impl Outcome {
    /// The end of a run that was stopped before anything was launched.
    pub(super) const fn unlaunched(reason: StopReason) -> Self {
        match reason {
            StopReason::Cancelled => Self::Cancelled(None),
            StopReason::Shutdown | StopReason::Unobserved => Self::Released,
            StopReason::Over => Self::Settled(Exit::Vanished),
        }
    }

    /// The end of a run whose launch brought nothing. One that failed is the run's own trouble; one that was interrupted by
    /// the end of the worker is not, and the run is put back.
    pub(super) fn launch_left_nothing(stop: Option<StopReason>, failure: Option<String>) -> Self {
        match (stop, failure) {
            (Some(reason), _) => Self::unlaunched(reason),
            (None, Some(why)) => Self::Crashed(CrashCause::Submit(why)),
            (None, None) => Self::Released,
        }
    }

    /// The end of a run whose infrastructure we killed, when its exit is unknown.
    pub(super) const fn stopped(reason: StopReason) -> Self {
        match reason {
            StopReason::Cancelled => Self::Cancelled(None),
            StopReason::Shutdown => Self::Crashed(CrashCause::WorkerStopped(None)),
            StopReason::Unobserved => Self::Crashed(CrashCause::Unobserved(None)),
            StopReason::Over => Self::Settled(Exit::Vanished),
        }
    }

    /// The end of a run whose infrastructure ended.
    ///
    /// An engine that reported its outcome is believed over its exit code: some versions exit 1 after a failed flow.
    /// A command that succeeded just before it was to be stopped did succeed.
    pub(super) fn of_exit(report: &ExitReport, report_state: ReportState, stop: Option<StopReason>) -> Self {
        if stop == Some(StopReason::Cancelled) && !finished_first(report) {
            return Self::Cancelled(Some(report.exit));
        }
        match (report_state, report.exit) {
            _ if report.concluded.is_some() || stop == Some(StopReason::Over) => Self::Settled(report.exit),
            (ReportState::Engine, Exit::Code(0)) => Self::Settled(report.exit),
            (ReportState::Worker, Exit::Code(0)) => Self::Completed,
            _ if stop == Some(StopReason::Shutdown) => Self::Crashed(CrashCause::WorkerStopped(Some(report.clone()))),
            _ if stop == Some(StopReason::Unobserved) => Self::Crashed(CrashCause::Unobserved(Some(report.clone()))),
            (ReportState::Worker, Exit::Code(_)) => Self::Failed(report.clone()),
            (_, _) => Self::Crashed(CrashCause::Exited(report.clone())),
        }
    }

    /// The status code of the ended infrastructure for the executed event: 0 where the engine settled the run;
    /// `None` if nothing was started.
    pub fn status_code(&self) -> Option<i32> {
        match self {
            Self::Settled(_) | Self::Completed => Some(0),
            Self::Failed(report) | Self::Crashed(CrashCause::Exited(report)) => Some(report.exit.status_code()),
            Self::Cancelled(exit) => exit.map(|_| 0),
            Self::Crashed(CrashCause::Gone) => Some(Exit::Vanished.status_code()),
            Self::Crashed(CrashCause::WorkerStopped(report) | CrashCause::Unobserved(report)) => {
                report.as_ref().map(|report| report.exit.status_code())
            }
            Self::Crashed(CrashCause::Submit(_) | CrashCause::Policy(_)) | Self::Released => None,
        }
    }
}

/// Whether the engine reported the flow's own end before the cancellation reached it.
fn finished_first(report: &ExitReport) -> bool {
    match &report.concluded {
        Some(Conclusion::StateReported { state_type: Some(state_type), .. }) => {
            matches!(state_type.as_str(), "COMPLETED" | "FAILED")
        }
        Some(
            Conclusion::StateReported { state_type: None, .. }
            | Conclusion::OrchestrationAborted
            | Conclusion::CancelAcknowledged,
        )
        | None => false,
    }
}

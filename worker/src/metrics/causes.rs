//! The words of labels that tell causes and outcomes.

use worker_core::exit::{Exit, ExitReport};
use worker_core::machine::CrashCause;

/// Why a run that was offered was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The server said so.
    Aborted,
    /// The server gave another reason, or none.
    Rejected,
    /// Another worker has it.
    ClaimedElsewhere,
    /// It is in a state in which it cannot be claimed.
    NotScheduled,
    /// It was deleted.
    RunDeleted,
    /// Its deployment was deleted.
    DeploymentDeleted,
    /// The API failed at what is needed to claim it.
    ApiError,
}

impl Refusal {
    pub(super) const ALL: [Self; 7] = [
        Self::Aborted,
        Self::Rejected,
        Self::ClaimedElsewhere,
        Self::NotScheduled,
        Self::RunDeleted,
        Self::DeploymentDeleted,
        Self::ApiError,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::Rejected => "rejected",
            Self::ClaimedElsewhere => "claimed_elsewhere",
            Self::NotScheduled => "not_scheduled",
            Self::RunDeleted => "run_deleted",
            Self::DeploymentDeleted => "deployment_deleted",
            Self::ApiError => "api_error",
        }
    }
}

/// What the end of an execution came to.
#[derive(Clone, Copy, Debug)]
pub enum End<'c> {
    /// The run's engine reported it.
    Settled,
    /// This worker reported success.
    Completed,
    /// This worker reported failure.
    Failed,
    /// This worker's word that it crashed was taken.
    Crashed(&'c CrashCause),
    /// It was put back instead of being reported as crashed.
    PutBack(&'c CrashCause),
    /// It was cancelled.
    Cancelled,
    /// It was claimed, not started, and given back.
    Released,
    /// It had gone another way by itself: nothing was reported.
    LeftAlone,
}

impl End<'_> {
    pub(super) const OUTCOMES: [&'static str; 8] =
        ["settled", "completed", "failed", "crashed", "put_back", "cancelled", "released", "left_alone"];

    /// The word for it.
    pub const fn outcome(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Crashed(_) => "crashed",
            Self::PutBack(_) => "put_back",
            Self::Cancelled => "cancelled",
            Self::Released => "released",
            Self::LeftAlone => "left_alone",
        }
    }

    /// The word for what crashed the run, if something did.
    pub const fn cause(self) -> Option<&'static str> {
        match self {
            Self::Crashed(cause) | Self::PutBack(cause) => Some(crash_cause(cause)),
            Self::Settled | Self::Completed | Self::Failed | Self::Cancelled | Self::Released | Self::LeftAlone => None,
        }
    }
}

pub(super) const CRASH_CAUSES: [&str; 11] = [
    "submit_failed",
    "exit_code",
    "signal",
    "out_of_memory",
    "evicted",
    "node_lost",
    "never_started",
    "policy",
    "vanished",
    "worker_stopped",
    "unobserved",
];

pub(super) const fn crash_cause(cause: &CrashCause) -> &'static str {
    match cause {
        CrashCause::Submit(_) => "submit_failed",
        CrashCause::Policy(_) => "policy",
        CrashCause::Gone => "vanished",
        CrashCause::WorkerStopped(_) => "worker_stopped",
        CrashCause::Unobserved(_) => "unobserved",
        CrashCause::Exited(ExitReport { exit, .. }) => match exit {
            Exit::Code(_) => "exit_code",
            Exit::Signal(_) => "signal",
            Exit::OutOfMemory => "out_of_memory",
            Exit::Evicted => "evicted",
            Exit::NodeLost => "node_lost",
            Exit::NeverStarted => "never_started",
            Exit::Vanished => "vanished",
        },
    }
}

/// What the repair loop put right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repaired {
    /// A run that the API has as cancelled or over was told to stop.
    RunStopped,
    /// A run that a daemon left which did not come back was taken over.
    RunTakenOver,
    /// A run of ours that nothing looked after was taken up again.
    RunTakenUp,
    /// Infrastructure with our mark and no record was taken over.
    StrayTakenOver,
    /// Infrastructure with our mark of a run that is over was removed.
    StrayRemoved,
}

impl Repaired {
    pub(super) const ALL: [Self; 5] =
        [Self::RunStopped, Self::RunTakenOver, Self::RunTakenUp, Self::StrayTakenOver, Self::StrayRemoved];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::RunStopped => "run_stopped",
            Self::RunTakenOver => "run_taken_over",
            Self::RunTakenUp => "run_taken_up",
            Self::StrayTakenOver => "stray_taken_over",
            Self::StrayRemoved => "stray_removed",
        }
    }
}

/// A websocket to the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiStream {
    /// The worker channel.
    Channel,
    /// The events of cancellations.
    Events,
}

impl ApiStream {
    pub(super) const ALL: [Self; 2] = [Self::Channel, Self::Events];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Events => "events",
        }
    }
}

//! What the actor tells the machine.

use serde::{Deserialize, Serialize};

use crate::exit::ExitReport;
use crate::handle::Handle;
use crate::spec::ReportState;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The server gave us the run.
    Claimed,
    /// The server, or the disappearance of the run or its deployment, says that this run is not for us.
    Refused,
    /// A run that was read back is ours, was not started, and is being cancelled.
    FoundCancelled,
    /// Configuration and plan are ready.
    Prepared(ReportState),
    /// The API knows that the launch is near.
    Announced,
    /// The run could not be brought to its launch, and nothing was started. The text is for the flow's author.
    SubmitFailed(String),
    /// The worker's policy does not allow the run, and nothing was started. The text is for the flow's author.
    PolicyRefused(String),
    /// The infrastructure was started, or had been started under the same key.
    Launched(Handle),
    /// Whether the launch took effect cannot be told. The text says what went wrong, for the flow's author.
    LaunchUnclear(String),
    /// What a search by launch key found.
    Located(Option<Handle>),
    /// The infrastructure was found running after a restart of the worker.
    FoundRunning,
    /// The infrastructure ended.
    Exited(ExitReport),
    /// The infrastructure is gone, a second source agrees, and its exit is unknown.
    Gone,
    /// The infrastructure was stopped by us.
    Killed,
    /// This kind of infrastructure, or this worker, cannot stop it.
    KillUnsupported,
    /// The run is to be stopped. Idempotent: the API repeats a cancellation until it is settled.
    Stop(StopReason),
    /// A second signal from the operator: no more grace.
    StopNow,
    /// The worker takes no more runs: what was not started goes back, what was started goes on.
    Withdraw,
    /// Leave the infrastructure running for the next worker process.
    Detach,
    /// The report was accepted, or refused for good.
    ReportSettled,
    /// Leftovers are removed, or given up on.
    CleanedUp,
}

/// Why a run is to be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// Somebody cancelled the run.
    Cancelled,
    /// The worker stops.
    Shutdown,
    /// Nobody can tell whether the run was cancelled, and the operator would rather have it ended.
    Unobserved,
    /// The API says that the run is over, or was deleted, and its infrastructure goes on.
    Over,
}

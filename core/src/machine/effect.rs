//! What the actor is told to do.

use serde::{Deserialize, Serialize};

use super::outcome::Outcome;
use crate::handle::Handle;

/// One thing for the actor to do. Effects of one step are carried out in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Check that the deployment still exists and propose Pending. Answers `Claimed` or `Refused`.
    Claim,
    /// Ask the API whether a run that an earlier process had claimed, or was about to, is ours. Answers `Claimed`,
    /// `Refused`, `FoundCancelled` or `SubmitFailed`.
    Recall,
    /// Resolve the configuration, bring the code, let the plugin plan. Answers `Prepared`, `SubmitFailed` or
    /// `PolicyRefused`.
    Prepare,
    /// Tell the API that the launch is near: Submitting, once the run has its labels, for which little time is waited. Answers
    /// `Announced` or `Stop`.
    Announce,
    /// Write the run to the journal and sync it, before the effects after it.
    Persist,
    /// Write the run to the journal without waiting for it. What is lost with it is found out again: a handle by its launch
    /// key, a cancellation from the API, a report by the transition that it made.
    PersistSoon,
    /// Start the infrastructure. Answers `Launched`, `SubmitFailed` or `LaunchUnclear`.
    Launch,
    /// Ask the plugin whether the launch left something. Answers `Located`.
    Find,
    /// Ask the plugin how the infrastructure is. Answers `FoundRunning`, `Exited` or `Gone`.
    Reattach(Handle),
    /// Store the infrastructure's id at the API. Failure is logged, not answered.
    RecordInfra(Handle),
    /// Propose Running, for a command that cannot do so itself.
    ReportRunning,
    /// Watch until it ends. Answers `Exited` or `Gone`.
    Watch(Handle),
    /// Stop it. Answers `Killed` or `KillUnsupported`; retried by the actor until one of them is true.
    Kill {
        /// What to stop.
        handle: Handle,
        /// Why, and so how.
        intent: KillIntent,
    },
    /// Report the end and flush the run's logs. Answers `ReportSettled` once the API has taken or refused it.
    Report(Outcome),
    /// Remove what is left. Answers `CleanedUp`.
    Cleanup(Handle),
    /// Leave the infrastructure to the next worker process; the actor ends.
    Leave,
    /// Remove the run from the journal; the actor ends and its slot is free.
    Forget,
}

/// Why infrastructure is stopped, which decides how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KillIntent {
    /// The run was cancelled: the engine is told so first, so that it runs its cancellation hooks; then grace, then force.
    Cancel,
    /// The worker stops, or the run is over without its infrastructure: the engine sees a plain termination; then grace,
    /// then force.
    Shutdown,
    /// No more grace.
    Force,
}

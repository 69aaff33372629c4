//! The run machine: the life of one execution of a run, with no clock, no I/O and no tasks in it.
//!
//! ```text
//! Claiming -> Preparing -> Announcing -> Launching -> Running -> Reporting -> CleaningUp -> Done
//!     |           |            |             |           |          ^
//!     |           '------------'-------------'-----------'-> Stopping
//!     '-> Done (refused)
//! ```
//!
//! The actor feeds one [`Input`] at a time to [`Run::step`] and carries out the [`Effect`]s in order. `Persist` precedes
//! `Claim`, `Launch` and `Report` in the same step, so that a process that dies in between knows on its return what it
//! was about to do: [`Run::resume`]. Late and repeated inputs change nothing.

mod effect;
mod input;
mod outcome;
#[cfg(test)]
mod tests;

pub use effect::{Effect, KillIntent};
pub use input::{Input, StopReason};
pub use outcome::{CrashCause, Outcome};

use serde::{Deserialize, Serialize};

use crate::exit::ExitReport;
use crate::handle::Handle;
use crate::ids::LaunchKey;
use crate::spec::ReportState;

/// Where an execution is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The server is being asked for the run.
    Claiming,
    /// The run is ours; its configuration and code are being brought together.
    Preparing,
    /// The plan is ready; the API is being told that the launch is near.
    Announcing,
    /// The intent to launch is on disk; whether the infrastructure exists is unknown.
    Launching,
    /// The infrastructure exists.
    Running(Handle),
    /// The infrastructure is being stopped.
    Stopping(Handle),
    /// The end is known and is being reported.
    Reporting(Outcome, Option<Handle>),
    /// The report was settled; leftovers are being removed.
    CleaningUp(Handle),
    /// Nothing is left to do.
    Done,
}

/// Who owns the run's state at the API at this moment. Only the owner proposes states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateOwner {
    /// The worker: before the engine starts, and again once it is dead.
    Worker,
    /// The engine, while it lives.
    Engine,
}

/// One execution of a run and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Identity of the execution.
    pub key: LaunchKey,
    /// Where it is.
    pub phase: Phase,
    /// The first stop request; later ones change nothing.
    pub stop: Option<StopReason>,
    /// No more grace: said once, remembered for whatever is still to be killed.
    pub hurry: bool,
    /// Who reports the run's states while it executes.
    pub report_state: ReportState,
    /// Why a launch was given up whose outcome is unknown. Absent if the process that launched did not live to see it fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch_failure: Option<String>,
}

impl Run {
    /// A run that is about to be claimed.
    pub fn offered(key: LaunchKey) -> Self {
        Self {
            key,
            phase: Phase::Claiming,
            stop: None,
            hurry: false,
            report_state: ReportState::Engine,
            launch_failure: None,
        }
    }

    /// Infrastructure that nobody remembers having launched: the journal was lost, what it told of was not.
    pub fn found(handle: Handle) -> Self {
        let Handle { key, report_state, .. } = handle;
        Self { phase: Phase::Running(handle), report_state, ..Self::offered(key) }
    }

    /// The first effects of a run that was offered.
    pub fn begin() -> Vec<Effect> {
        vec![Effect::Persist, Effect::Claim]
    }

    /// Who may propose states for this run now.
    pub fn owner(&self) -> StateOwner {
        match (&self.phase, self.report_state) {
            (Phase::Running(_) | Phase::Stopping(_), ReportState::Engine) => StateOwner::Engine,
            _ => StateOwner::Worker,
        }
    }

    /// The infrastructure, while some may exist.
    pub fn handle(&self) -> Option<&Handle> {
        match &self.phase {
            Phase::Running(handle) | Phase::Stopping(handle) | Phase::CleaningUp(handle) => Some(handle),
            Phase::Reporting(_, handle) => handle.as_ref(),
            Phase::Claiming | Phase::Preparing | Phase::Announcing | Phase::Launching | Phase::Done => None,
        }
    }

    /// The first effects for a run read back from the journal by a new process.
    pub fn resume(&self) -> Vec<Effect> {
        match &self.phase {
            Phase::Claiming | Phase::Preparing | Phase::Announcing => vec![Effect::Recall],
            Phase::Launching => vec![Effect::Find],
            Phase::Running(handle) => {
                let mut effects = vec![Effect::RecordInfra(handle.clone())];
                effects.extend((self.report_state == ReportState::Worker).then_some(Effect::ReportRunning));
                effects.push(Effect::Reattach(handle.clone()));
                effects
            }
            Phase::Stopping(handle) => {
                let intent = self.kill_intent();
                vec![Effect::Watch(handle.clone()), Effect::Kill { handle: handle.clone(), intent }]
            }
            Phase::Reporting(outcome, _) => vec![Effect::Report(outcome.clone())],
            Phase::CleaningUp(handle) => vec![Effect::Cleanup(handle.clone())],
            Phase::Done => vec![Effect::Forget],
        }
    }

    /// Takes one input and says what must be done about it, in order.
    #[must_use]
    pub fn step(self, input: Input) -> (Self, Vec<Effect>) {
        use Phase as P;
        match (self.phase.clone(), input) {
            (_, Input::Stop(reason)) => self.stop_requested(reason),
            (P::Claiming, Input::Claimed) => match self.stop {
                Some(reason) => self.end(Outcome::unlaunched(reason), None),
                None => self.enter(P::Preparing, vec![Effect::PersistSoon, Effect::Prepare]),
            },
            // Read back from the journal, and still ours.
            (P::Preparing | P::Announcing, Input::Claimed) => self.enter(P::Preparing, vec![Effect::Prepare]),
            (P::Claiming | P::Preparing | P::Announcing, Input::Refused) | (P::CleaningUp(_), Input::CleanedUp) => {
                self.enter(P::Done, vec![Effect::Forget])
            }
            (P::Preparing, Input::Prepared(report_state)) => {
                Self { report_state, ..self }.enter(P::Announcing, vec![Effect::Announce])
            }
            (P::Announcing, Input::Announced) => self.enter(P::Launching, vec![Effect::Persist, Effect::Launch]),
            (P::Claiming | P::Preparing | P::Announcing, Input::FoundCancelled) => {
                self.end(Outcome::unlaunched(StopReason::Cancelled), None)
            }
            (P::Claiming | P::Preparing | P::Announcing | P::Launching, Input::SubmitFailed(why)) => {
                let outcome = self.stop.map_or(Outcome::Crashed(CrashCause::Submit(why)), Outcome::unlaunched);
                self.end(outcome, None)
            }
            (P::Preparing, Input::PolicyRefused(why)) => {
                let outcome = self.stop.map_or(Outcome::Crashed(CrashCause::Policy(why)), Outcome::unlaunched);
                self.end(outcome, None)
            }
            (P::Launching, Input::Launched(handle) | Input::Located(Some(handle))) => self.launched(handle),
            (P::Launching, Input::LaunchUnclear(why)) => {
                (Self { launch_failure: Some(why), ..self }, vec![Effect::PersistSoon, Effect::Find])
            }
            (P::Launching, Input::Located(None)) => {
                let outcome = Outcome::launch_left_nothing(self.stop, self.launch_failure.clone());
                self.end(outcome, None)
            }
            (P::Running(handle) | P::Stopping(handle), Input::FoundRunning) => (self, vec![Effect::Watch(handle)]),
            (P::Running(handle) | P::Stopping(handle), Input::Exited(report)) => self.exited(handle, &report),
            (P::Running(handle), Input::Gone) => self.end(Outcome::Crashed(CrashCause::Gone), Some(handle)),
            (P::Stopping(handle), Input::Killed | Input::Gone) => {
                let outcome = self.stop.map_or(Outcome::Crashed(CrashCause::Gone), Outcome::stopped);
                self.end(outcome, Some(handle))
            }
            (P::Stopping(handle), Input::KillUnsupported) => {
                // The run is not ours to stop: whoever can will, and we go on watching.
                Self { stop: None, ..self }.enter(P::Running(handle), vec![Effect::PersistSoon])
            }
            (_, Input::StopNow) => self.hurried(),
            // What was not launched cannot be left to anybody.
            (P::Claiming | P::Preparing | P::Announcing, Input::Detach | Input::Withdraw) => {
                self.stop_requested(StopReason::Shutdown)
            }
            (P::Running(_) | P::Stopping(_) | P::Launching, Input::Detach) => {
                (self, vec![Effect::Persist, Effect::Leave])
            }
            (P::Reporting(_, handle), Input::ReportSettled) => match handle {
                Some(handle) => {
                    self.enter(P::CleaningUp(handle.clone()), vec![Effect::PersistSoon, Effect::Cleanup(handle)])
                }
                None => self.enter(P::Done, vec![Effect::Forget]),
            },
            // Late or repeated news about a phase already left.
            (_, _) => (self, Vec::new()),
        }
    }

    fn stop_requested(mut self, reason: StopReason) -> (Self, Vec<Effect>) {
        self.stop = self.stop.or(Some(reason));
        match self.phase.clone() {
            Phase::Preparing | Phase::Announcing => self.end(Outcome::unlaunched(reason), None),
            Phase::Running(handle) => {
                let intent = self.kill_intent();
                self.enter(Phase::Stopping(handle.clone()), vec![Effect::PersistSoon, Effect::Kill { handle, intent }])
            }
            // A claim or launch in flight is waited for: ending now would strand what it makes.
            Phase::Claiming
            | Phase::Launching
            | Phase::Stopping(_)
            | Phase::Reporting(..)
            | Phase::CleaningUp(_)
            | Phase::Done => (self, Vec::new()),
        }
    }

    fn hurried(self) -> (Self, Vec<Effect>) {
        let kill = match &self.phase {
            Phase::Stopping(handle) => vec![Effect::Kill { handle: handle.clone(), intent: KillIntent::Force }],
            Phase::Claiming
            | Phase::Preparing
            | Phase::Announcing
            | Phase::Launching
            | Phase::Running(_)
            | Phase::Reporting(..)
            | Phase::CleaningUp(_)
            | Phase::Done => Vec::new(),
        };
        (Self { hurry: true, ..self }, kill)
    }

    fn launched(self, handle: Handle) -> (Self, Vec<Effect>) {
        let mut effects = vec![Effect::PersistSoon, Effect::RecordInfra(handle.clone())];
        if self.stop.is_some() {
            let intent = self.kill_intent();
            effects.push(Effect::Watch(handle.clone()));
            effects.push(Effect::Kill { handle: handle.clone(), intent });
            return self.enter(Phase::Stopping(handle), effects);
        }
        if self.report_state == ReportState::Worker {
            effects.push(Effect::ReportRunning);
        }
        effects.push(Effect::Watch(handle.clone()));
        self.enter(Phase::Running(handle), effects)
    }

    fn exited(self, handle: Handle, report: &ExitReport) -> (Self, Vec<Effect>) {
        let outcome = Outcome::of_exit(report, self.report_state, self.stop);
        self.end(outcome, Some(handle))
    }

    fn end(self, outcome: Outcome, handle: Option<Handle>) -> (Self, Vec<Effect>) {
        let effects = vec![Effect::Persist, Effect::Report(outcome.clone())];
        self.enter(Phase::Reporting(outcome, handle), effects)
    }

    fn kill_intent(&self) -> KillIntent {
        match self.stop {
            _ if self.hurry => KillIntent::Force,
            Some(StopReason::Cancelled) | None => KillIntent::Cancel,
            Some(StopReason::Shutdown | StopReason::Unobserved | StopReason::Over) => KillIntent::Shutdown,
        }
    }

    fn enter(self, phase: Phase, effects: Vec<Effect>) -> (Self, Vec<Effect>) {
        (Self { phase, ..self }, effects)
    }
}

//! What a run is told to do, in job variables.

use std::time::Duration;

use infra_contract::{ErrorClass, InfraError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use worker_core::exit::{Conclusion, Exit, ExitReport};

/// The script of one run. Each field is a job variable of the same name; one that is absent or null has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Script {
    /// Fails while preparing.
    pub prepare_error: Option<ScriptedFailure>,
    /// Fails while launching; nothing is started.
    pub start_error: Option<ScriptedFailure>,
    /// How long a launch takes, in milliseconds. What it starts exists only after that.
    pub start_delay_ms: u64,
    /// The first launch takes effect, but its answer is lost.
    pub lost_reply: bool,
    /// Warnings, before the output.
    pub warnings: Vec<String>,
    /// Pieces of standard output, at the start.
    pub output: Vec<String>,
    /// So many bytes more of standard output.
    pub output_bytes: usize,
    /// How long it runs, in milliseconds.
    pub run_for_ms: u64,
    /// It runs until it is killed.
    pub run_until_killed: bool,
    /// The exit code.
    pub exit_code: i32,
    /// It ends by this signal instead.
    pub exit_signal: Option<i32>,
    /// It ends in this way instead: `out_of_memory`, `evicted`, `vanished`.
    pub exit: Option<Exit>,
    /// What the engine concluded before the end.
    pub concluded: Option<Conclusion>,
    /// The sentence for people about the end.
    pub detail: Option<String>,
    /// Only force ends it.
    pub ignore_grace: bool,
    /// How long it takes to end when asked to, in milliseconds.
    pub stop_takes_ms: u64,
    /// The engine acknowledges a cancellation, settles the run's state itself and exits with 0.
    pub acknowledges_cancel: bool,
    /// This infrastructure cannot be killed.
    pub kill_unsupported: bool,
}

/// An error to answer with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptedFailure {
    /// What it means to the caller.
    pub class: FailureClass,
    /// The error's text.
    pub text: String,
    /// How often it is answered before it works; always, if absent.
    pub times: Option<u32>,
}

/// The classes of errors, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// It may work the next time.
    Transient,
    /// The run's own configuration cannot be carried out.
    BadSpec,
    /// The backend refuses.
    Denied,
    /// It cannot be done.
    Unsupported,
    /// A defect.
    Bug,
}

impl Script {
    /// Reads the script out of a run's fields. Fields that it does not know belong to every kind and are left alone.
    ///
    /// # Errors
    /// A variable has the wrong type.
    pub fn from_fields(fields: &Map<String, Value>) -> Result<Self, serde_json::Error> {
        let given = fields.iter().filter(|(_, value)| !value.is_null());
        let given: Map<String, Value> = given.map(|(name, value)| (name.clone(), value.clone())).collect();
        serde_json::from_value(Value::Object(given))
    }

    /// How long it runs if nobody stops it; `None` is for ever.
    pub(crate) fn runs_for(&self) -> Option<Duration> {
        (!self.run_until_killed).then(|| Duration::from_millis(self.run_for_ms))
    }

    /// How it ends if nobody stops it.
    pub(crate) fn own_end(&self) -> ExitReport {
        let by_code = Exit::Code(self.exit_code);
        let exit = self.exit.or(self.exit_signal.map(Exit::Signal)).unwrap_or(by_code);
        ExitReport { exit, concluded: self.concluded.clone(), detail: self.detail.clone() }
    }

    pub(crate) fn all_output(&self) -> Vec<String> {
        let bulk = (self.output_bytes > 0).then(|| "x".repeat(self.output_bytes));
        self.output.iter().cloned().chain(bulk).collect()
    }
}

impl ScriptedFailure {
    /// The error, if this attempt (the first is 0) is to fail.
    pub(crate) fn at_attempt(&self, attempt: u32) -> Option<InfraError> {
        let fails = self.times.is_none_or(|times| attempt < times);
        fails.then(|| InfraError::new(self.class.into(), self.text.clone()))
    }
}

impl From<FailureClass> for ErrorClass {
    fn from(class: FailureClass) -> Self {
        match class {
            FailureClass::Transient => Self::Transient,
            FailureClass::BadSpec => Self::BadSpec,
            FailureClass::Denied => Self::Denied,
            FailureClass::Unsupported => Self::Unsupported,
            FailureClass::Bug => Self::Bug,
        }
    }
}

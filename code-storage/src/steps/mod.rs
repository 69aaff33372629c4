//! Running pull steps, one after the other.
//!
//! A step that starts programs does what the SDK does in the flow's process, with the environment of that process; but
//! its working directory is the pull's, never this process's own.

mod capture;
mod error;
mod expand;
mod pip;
mod program;
mod progress;
mod python_text;
mod script;
mod secrets;
mod words;

use std::time::Duration;

use crate::plan::StepRecord;

pub use error::StepError;

pub(crate) use progress::{Progress, enter};
pub(crate) use script::script_problem;
pub(crate) use secrets::Secrets;

/// Who hears what steps do.
pub trait PullLog: Send + Sync {
    /// Takes a line of a program that a step started, in which secrets are masked.
    fn output(&self, line: String);

    /// A step is over, after so long; whether it is done.
    fn step_ended(&self, _step: &StepRecord, _took: Duration, _is_done: bool) {}
}

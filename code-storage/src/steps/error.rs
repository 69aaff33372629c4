//! Why a step failed that is not about a repository or an object store.

use std::io;
use std::time::Duration;

use camino::Utf8PathBuf;
use worker_core::template::{Reference, TemplateError};

use crate::objects::Unreadable;

/// Why a step failed. It names the step and never a value of an input, which may be a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// What an input took from an earlier step is of no use.
    #[error("the input `{input}` of the step `{step}` {problem}")]
    Input {
        /// The step.
        step: String,
        /// The input.
        input: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// What a storage took from an earlier step cannot be read.
    #[error("the step `{step}` cannot be run because {reason}")]
    Store {
        /// The step.
        step: String,
        /// Why.
        reason: Unreadable,
    },
    /// The placeholders cannot be filled in with what earlier steps put out.
    #[error("the inputs of the step `{step}` cannot be filled in")]
    Template {
        /// The step.
        step: String,
        /// Why.
        source: TemplateError,
    },
    /// An earlier step put out the placeholder of a block or variable.
    #[error("an input of the step `{step}` takes a placeholder for {reference} from the output of an earlier step")]
    ReferenceFromOutput {
        /// The step.
        step: String,
        /// What it stands for.
        reference: Reference,
    },
    /// The directory that the step is to run in cannot be used.
    #[error("the step `{step}` cannot run in the directory {directory}")]
    Directory {
        /// The step.
        step: String,
        /// The directory.
        directory: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A program could not be started.
    #[error("line {line} of the step `{step}` could not be started: {program}")]
    Start {
        /// The step.
        step: String,
        /// The line of the script, from 1.
        line: usize,
        /// The program, if its name is plain enough to hold no secret.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program of a script failed.
    #[error("line {line} of the step `{step}` ended with {ended}: {detail}")]
    Failed {
        /// The step.
        step: String,
        /// The line of the script, from 1.
        line: usize,
        /// Its exit status.
        ended: String,
        /// What it said at the end, with secrets masked.
        detail: String,
    },
    /// The Python of the run could not be started.
    #[error("`{python}` could not be started by the step `{step}`")]
    PythonStart {
        /// The step.
        step: String,
        /// The program.
        python: String,
        /// What the system said.
        source: io::Error,
    },
    /// `pip` failed.
    #[error("`pip` ended with {ended} in the step `{step}`: {detail}")]
    Pip {
        /// The step.
        step: String,
        /// Its exit status.
        ended: String,
        /// What it said at the end, with secrets masked.
        detail: String,
    },
    /// More was put out than can be handed to a later step.
    #[error("the step `{step}` wrote more than 16 MiB, which a later step was to take")]
    TooMuchOutput {
        /// The step.
        step: String,
    },
    /// The time limit passed.
    #[error("the step `{step}` did not end within {} s", limit.as_secs_f64())]
    TimedOut {
        /// The step.
        step: String,
        /// The limit.
        limit: Duration,
    },
    /// The caller asked to stop.
    #[error("the step `{step}` was cancelled")]
    Cancelled {
        /// The step.
        step: String,
    },
}

impl StepError {
    /// What the flow's author or the operator can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Input { .. } | Self::Store { .. } | Self::Template { .. } => {
                "look up what the earlier step puts out, and correct the input"
            }
            Self::ReferenceFromOutput { .. } => "write the placeholder into the input of the step itself",
            Self::Directory { .. } => {
                "check the `directory` of the step, which starts from where the step before it ended"
            }
            Self::Start { .. } => {
                "check that the program is on the PATH of the run, and executable; a command that needs a shell wants `shell: true`"
            }
            Self::Failed { .. } => "run the script on the worker's machine as the worker's user",
            Self::PythonStart { .. } => "check the worker's setting for the Python of runs",
            Self::Pip { .. } => {
                "check the `directory` and `requirements_file` of the step, and that the Python of the run has pip"
            }
            Self::TooMuchOutput { .. } => "let the script write to a file, and hand on its name",
            Self::TimedOut { .. } => "make the step shorter, or raise the worker's limit for steps",
            Self::Cancelled { .. } => "run the flow again if this was not intended",
        }
    }
}

//! Why the code of a deployment is left to the SDK.

use worker_core::template::TemplateError;

use super::{InputError, InputProblem};
use crate::objects::Unreadable;

/// Why the code of a deployment is left to the SDK: a fragment for the run's log.
///
/// It names steps and inputs and never repeats the value of an input, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineReason {
    /// The code has to be brought to another machine or container.
    #[error("the infrastructure does not share this machine's files")]
    SeparateFileSystem,
    /// No pull steps, and a storage block of a kind or with settings that only the SDK understands.
    #[error("the deployment's storage block is for Prefect itself, because {0}")]
    Storage(Unreadable),
    /// No pull steps, and storage that depends on the machine of the flow's process, which is not this one.
    #[error("the deployment's storage has to be read where the flow runs, which is not this machine")]
    StorageElsewhere,
    /// No pull steps, and the server has no such storage block.
    #[error("the deployment's storage block does not exist")]
    NoStorageBlock,
    /// No pull steps and no block, and nothing to copy or a path that only the flow's process can make sense of.
    #[error("the deployment has no pull steps")]
    LocalPath,
    /// The deployment has no entrypoint, which the SDK reports.
    #[error("the deployment has no entrypoint")]
    NoEntrypoint,
    /// Neither `path/to/file.py:function` nor a module path that can be imported from where the code is.
    #[error("the worker does not read the entrypoint `{entrypoint}`")]
    Entrypoint {
        /// The entrypoint.
        entrypoint: String,
    },
    /// Not a list of objects with one key each.
    #[error("the pull steps are not a list of single steps")]
    Malformed,
    /// A step that is a Python function like any other.
    #[error("the step `{step}` is Python code")]
    UnknownStep {
        /// The importable name.
        step: String,
    },
    /// The step asks for packages to be installed that the worker has no use for.
    #[error("the step `{step}` requires packages")]
    Requires {
        /// The step's short name.
        step: String,
    },
    /// The step works on the machine of the flow's process, and that is not this one.
    #[error("the step `{step}` has to run where the flow runs, which is not this machine")]
    Elsewhere {
        /// The step's short name.
        step: String,
    },
    /// The step installs packages, and the flow's Python is not of the worker's choosing.
    #[error("the step `{step}` installs packages for a Python that the worker does not know")]
    NoPython {
        /// The step's short name.
        step: String,
    },
    /// An input of a kind that has to be known before the first step takes its value from an earlier one.
    #[error("the input `{input}` of the step `{step}` takes its value from an earlier step")]
    FromEarlierStep {
        /// The step's short name.
        step: String,
        /// The input's name.
        input: String,
    },
    /// Which block or variable an input is about depends on the output of an earlier step.
    #[error("an input of the step `{step}` puts the name of a block or variable together from an earlier step")]
    BuiltReference {
        /// The step's short name.
        step: String,
    },
    /// Placeholders of the inputs cannot be filled in, which the SDK reports when it gets there.
    #[error("the placeholders of the pull steps cannot be filled in: {0}")]
    Template(#[from] TemplateError),
    /// An input that is unknown here: newer than this worker, perhaps.
    #[error("the input `{input}` of the step `{step}` is unknown to this worker")]
    UnknownInput {
        /// The step's short name.
        step: String,
        /// The input's name.
        input: String,
    },
    /// A storage is of a kind, or has settings, that only the SDK understands.
    #[error("the step `{step}` is for Prefect itself, because {reason}")]
    Store {
        /// The step's short name.
        step: String,
        /// Why.
        reason: Unreadable,
    },
    /// An input has a value that only the SDK can judge or use.
    #[error("the input `{input}` of the step `{step}` {problem}")]
    Input {
        /// The step's short name.
        step: String,
        /// The input's name.
        input: String,
        /// What is so about it.
        problem: &'static str,
    },
}

impl EngineReason {
    pub(super) fn of_input(step: &str, problem: InputProblem) -> Self {
        let step = step.to_owned();
        match problem {
            InputProblem::Input(InputError { input, problem }) => Self::Input { step, input, problem },
            InputProblem::Store(reason) => Self::Store { step, reason },
        }
    }
}

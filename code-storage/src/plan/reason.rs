//! Why the pull steps of a deployment are left to the SDK.

/// Why the pull steps of a deployment are left to the SDK: a fragment for the run's log.
///
/// It names steps and inputs and never repeats the value of an input, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineReason {
    /// The code has to be brought to another machine or container.
    #[error("the infrastructure does not share this machine's files")]
    SeparateFileSystem,
    /// No pull steps, and a storage block: the SDK copies from the block.
    #[error("the code comes from a storage block")]
    StorageBlock,
    /// No pull steps and no block: the SDK copies from the deployment's path.
    #[error("the deployment has no pull steps")]
    LocalPath,
    /// The deployment has no entrypoint, which the SDK reports.
    #[error("the deployment has no entrypoint")]
    NoEntrypoint,
    /// Not `path/to/file.py:function`: a module path, for instance, which is found by the SDK's import path.
    #[error("the entrypoint `{entrypoint}` is not a Python file and a function")]
    NotAFileEntrypoint {
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
    /// The step asks for packages to be installed.
    #[error("the step `{step}` requires packages")]
    Requires {
        /// The step's short name.
        step: String,
    },
    /// The step logs in to the repository.
    #[error("the step `{step}` uses credentials")]
    Credentials {
        /// The step's short name.
        step: String,
    },
    /// An input takes its value from a block, a variable, the environment or an earlier step.
    #[error("the input `{input}` of the step `{step}` has a placeholder")]
    Placeholder {
        /// The step's short name.
        step: String,
        /// The input's name.
        input: String,
    },
    /// An input that is unknown here: newer than this worker, perhaps.
    #[error("the input `{input}` of the step `{step}` is unknown to this worker")]
    UnknownInput {
        /// The step's short name.
        step: String,
        /// The input's name.
        input: String,
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

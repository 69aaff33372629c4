//! Why a run's job configuration cannot be made.

use crate::template::{MAX_DEPTH, TemplateError};

/// A job configuration that cannot be made. The run cannot start, and trying again changes nothing.
///
/// Names fields and kinds of values, never values: they may be secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobConfigurationError {
    /// A part of the base job template is missing or is not an object.
    #[error("the work pool's base job template: {part} must be an object, found {found}")]
    MalformedTemplate {
        /// The part.
        part: &'static str,
        /// What is there instead.
        found: &'static str,
    },
    /// `env` at one of its levels is not an object.
    #[error("{level} must be an object, found {found}")]
    EnvNotObject {
        /// Whose `env`.
        level: &'static str,
        /// What is there instead.
        found: &'static str,
    },
    /// A dotted job variable leads through a value that is not an object.
    #[error("job variable `{key}`: `{part}` is already set to something that is not an object")]
    DottedKeyBlocked {
        /// The whole key.
        key: String,
        /// The part that is no object.
        part: String,
    },
    /// A job variable, or what its dotted key expands to, nests too deep.
    #[error("job variable `{key}` nests more than {MAX_DEPTH} levels deep")]
    VariableTooDeep {
        /// The job variable.
        key: String,
    },
    /// A placeholder cannot be filled in.
    #[error("the job configuration's placeholders cannot be filled in")]
    Template(#[from] TemplateError),
    /// A field has a value of the wrong type.
    #[error("job configuration field `{field}` must be {expected}, found {found}")]
    WrongType {
        /// The field; entries of `env` and `labels` as `labels.<key>`.
        field: String,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A job variable names something that the worker's settings do not offer to runs of the pool.
    #[error("job variable `{variable}` is `{value}`, and the worker offers runs of this pool {offered}")]
    NotOffered {
        /// The job variable.
        variable: &'static str,
        /// What it names.
        value: String,
        /// What it may name.
        offered: String,
    },
}

impl JobConfigurationError {
    /// What the author of the work pool or deployment can do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::MalformedTemplate { .. } => "reset the work pool's base job template to its default",
            Self::EnvNotObject { .. } => "give `env` as an object of names and values",
            Self::DottedKeyBlocked { .. } | Self::VariableTooDeep { .. } => {
                "give the job variable as one nested object instead of dotted keys"
            }
            Self::Template(error) => error.hint(),
            Self::NotOffered { .. } => {
                "leave the job variable out, name one of these, or ask the operator of the worker to allow it for the pool"
            }
            Self::WrongType { .. } => {
                "correct the job variable in the deployment or flow run, or its default in the work pool"
            }
        }
    }
}

//! What can be wrong with a template.

use std::fmt;

use super::{MAX_DEPTH, Reference};

/// A template that cannot be filled in: where, and why.
///
/// Neither names a value, since values may be secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    problem: TemplateProblem,
    /// Keys and positions on the way there, innermost first.
    location: Vec<String>,
}

/// Why a template cannot be filled in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateProblem {
    /// Objects and arrays nest too deep, or would once a value is put in.
    #[error("objects and arrays nest more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// A block placeholder without a type slug and a block name.
    #[error("block placeholder `{placeholder}` does not name a block type and a block")]
    BlockNotNamed {
        /// The placeholder as written.
        placeholder: String,
    },
    /// A `$ref` to a block document whose id is not a UUID.
    #[error("`$ref.block_document_id` is not a UUID")]
    BlockIdNotUuid,
    /// The server does not have the block.
    #[error("{0} does not exist")]
    BlockNotFound(Reference),
    /// The block has nothing at the path that the placeholder ends in.
    #[error("block placeholder `{placeholder}`: the block's data has no `{path}`")]
    BlockPathNotFound {
        /// The placeholder as written.
        placeholder: String,
        /// The part after the block's name.
        path: String,
    },
    /// An object or array of a block within other text, which has no one textual form.
    #[error("block placeholder `{placeholder}` stands within text but its value is an object or array")]
    BlockNotInline {
        /// The placeholder as written.
        placeholder: String,
    },
    /// Data that was asked for has not been provided: a bug of the caller.
    #[error("{0} was not fetched")]
    NotProvided(Reference),
}

impl TemplateError {
    /// Why.
    pub const fn problem(&self) -> &TemplateProblem {
        &self.problem
    }

    /// What the author of the template or of the job variables can do about it.
    pub const fn hint(&self) -> &'static str {
        match self.problem {
            TemplateProblem::TooDeep => "flatten the value, or pass it to the flow by another way",
            TemplateProblem::BlockNotNamed { .. } => "write {{ prefect.blocks.<block-type-slug>.<block-name> }}",
            TemplateProblem::BlockIdNotUuid => "pick the block again in the work pool's or deployment's form",
            TemplateProblem::BlockNotFound(_) => {
                "create the block, or remove the reference from the work pool or deployment"
            }
            TemplateProblem::BlockPathNotFound { .. } => "look up the block's attributes and correct the path",
            TemplateProblem::BlockNotInline { .. } => "extend the path to a single value, such as `.url`",
            TemplateProblem::NotProvided(_) => "report this as a bug of the worker",
        }
    }

    pub(super) fn below(mut self, step: impl fmt::Display) -> Self {
        self.location.push(step.to_string());
        self
    }
}

impl From<TemplateProblem> for TemplateError {
    fn from(problem: TemplateProblem) -> Self {
        Self { problem, location: Vec::new() }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.location.is_empty() {
            f.write_str("in `")?;
            for (position, step) in self.location.iter().rev().enumerate() {
                f.write_str(if position == 0 { "" } else { "." })?;
                f.write_str(step)?;
            }
            f.write_str("`: ")?;
        }
        self.problem.fmt(f)
    }
}

impl std::error::Error for TemplateError {}

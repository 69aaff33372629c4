//! What a template needs that only the server has.

use std::fmt;

use serde_json::{Map, Value};

use super::placeholder::{Placeholder, PlaceholderKind, placeholders};
use super::{TemplateError, TemplateProblem, python_truth, within_bound};
use crate::ids::BlockDocumentId;

/// Something to fetch before a template can be filled in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// A block document by its type's slug and its own name: its `data`, with secrets.
    Block {
        /// Slug of the block type.
        type_slug: String,
        /// Name of the block document.
        name: String,
    },
    /// A block document by id: its `data`, with secrets.
    BlockById(BlockDocumentId),
    /// A Prefect variable by name: its `value`.
    Variable(
        /// Everything after `prefect.variables.`, dots included: variables have no paths.
        String,
    ),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block { type_slug, name } => write!(f, "block `{name}` of type `{type_slug}`"),
            Self::BlockById(id) => write!(f, "block with id `{id}`"),
            Self::Variable(name) => write!(f, "variable `{name}`"),
        }
    }
}

/// A block placeholder's name taken apart.
pub(super) struct BlockName<'t> {
    pub(super) reference: Reference,
    pub(super) path: Option<&'t str>,
}

impl<'t> BlockName<'t> {
    pub(super) fn of(placeholder: &Placeholder<'t>) -> Result<Self, TemplateProblem> {
        let mut parts = placeholder.name.splitn(3, '.');
        match (parts.next(), parts.next()) {
            (Some(type_slug), Some(name)) if !type_slug.is_empty() && !name.is_empty() => {
                let reference = Reference::Block { type_slug: type_slug.to_owned(), name: name.to_owned() };
                Ok(Self { reference, path: parts.next() })
            }
            _ => Err(TemplateProblem::BlockNotNamed { placeholder: placeholder.text.to_owned() }),
        }
    }
}

/// The block that an object stands for: `{"$ref": {"block_document_id": "<uuid>"}}`, whatever else it holds.
pub(super) fn block_by_id(object: &Map<String, Value>) -> Result<Option<Reference>, TemplateProblem> {
    let id = object.get("$ref").and_then(|target| target.get("block_document_id"));
    let Some(id) = id.filter(|id| python_truth(id)) else { return Ok(None) };
    // Checked here, because the id becomes part of a URL.
    match id.as_str().map(str::parse) {
        Some(Ok(id)) => Ok(Some(Reference::BlockById(id))),
        Some(Err(_)) | None => Err(TemplateProblem::BlockIdNotUuid),
    }
}

/// The blocks and variables that a value mentions, each once, in order of appearance.
///
/// A block's data may mention more variables; [`super::Resolution`] follows them.
///
/// # Errors
/// A malformed block reference, or a value that nests too deep.
pub fn references(value: &Value) -> Result<Vec<Reference>, TemplateError> {
    collected(value, Wanted::BlocksAndVariables)
}

/// The variables that a value mentions once its blocks are resolved: what still looks like a block reference is text.
pub(super) fn variable_references(value: &Value) -> Result<Vec<Reference>, TemplateError> {
    collected(value, Wanted::Variables)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    BlocksAndVariables,
    Variables,
}

fn collected(value: &Value, wanted: Wanted) -> Result<Vec<Reference>, TemplateError> {
    let mut found = Vec::new();
    if !within_bound(value) {
        return Err(TemplateProblem::TooDeep.into());
    }
    collect(value, wanted, &mut found)?;
    Ok(found)
}

fn collect(value: &Value, wanted: Wanted, found: &mut Vec<Reference>) -> Result<(), TemplateError> {
    match value {
        Value::String(text) => Ok(collect_from_text(text, wanted, found)?),
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.try_for_each(|(position, item)| collect(item, wanted, found).map_err(|error| error.below(position)))
        }
        Value::Object(object) => {
            if wanted == Wanted::BlocksAndVariables
                && let Some(reference) = block_by_id(object)?
            {
                add(found, reference);
                return Ok(());
            }
            let mut entries = object.iter();
            entries.try_for_each(|(key, value)| collect(value, wanted, found).map_err(|error| error.below(key)))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

fn collect_from_text(text: &str, wanted: Wanted, found: &mut Vec<Reference>) -> Result<(), TemplateProblem> {
    for placeholder in placeholders(text) {
        match placeholder.kind {
            PlaceholderKind::Block if wanted == Wanted::BlocksAndVariables => {
                add(found, BlockName::of(&placeholder)?.reference);
            }
            // `{{ prefect.variables. }}` names nothing that the server could be asked for.
            PlaceholderKind::Variable if !placeholder.name.is_empty() => {
                add(found, Reference::Variable(placeholder.name.to_owned()));
            }
            PlaceholderKind::Block | PlaceholderKind::Variable | PlaceholderKind::Standard | PlaceholderKind::Env => {}
        }
    }
    Ok(())
}

fn add(found: &mut Vec<Reference>, reference: Reference) {
    if !found.contains(&reference) {
        found.push(reference);
    }
}

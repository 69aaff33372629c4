//! The second pass: block documents.

use std::borrow::Cow;

use serde_json::Value;

use super::placeholder::{Placeholder, PlaceholderKind};
use super::reference::{BlockName, Reference, block_by_id};
use super::resolution::Fetched;
use super::text::TemplateText;
use super::{TemplateError, TemplateProblem, path, python_str};

/// Replaces every block reference in `value` by the block's data. What comes out of a block is not scanned.
pub(super) fn resolve_blocks(value: &Value, fetched: &Fetched) -> Result<Value, TemplateError> {
    match value {
        Value::String(text) => Ok(resolve_in_text(text, fetched)?),
        Value::Array(items) => {
            let items = items
                .iter()
                .enumerate()
                .map(|(position, item)| resolve_blocks(item, fetched).map_err(|error| error.below(position)));
            items.collect::<Result<_, _>>().map(Value::Array)
        }
        Value::Object(object) => {
            if let Some(reference) = block_by_id(object)? {
                return Ok(data_of(&reference, fetched)?.clone());
            }
            let entries = object.iter().map(|(key, value)| {
                let value = resolve_blocks(value, fetched).map_err(|error| error.below(key))?;
                Ok((key.clone(), value))
            });
            entries.collect::<Result<_, _>>().map(Value::Object)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(value.clone()),
    }
}

fn resolve_in_text(text: &str, fetched: &Fetched) -> Result<Value, TemplateProblem> {
    let text = TemplateText::parse(text);
    if let Some(placeholder) = text.whole(PlaceholderKind::Block) {
        return attribute(placeholder, fetched).map(Cow::into_owned);
    }
    let filled = text.fill(|placeholder| match placeholder.kind {
        PlaceholderKind::Block => inline_text(placeholder, fetched).map(Some),
        PlaceholderKind::Standard | PlaceholderKind::Env | PlaceholderKind::Variable => Ok(None),
    })?;
    Ok(Value::String(filled))
}

fn inline_text<'f>(placeholder: &Placeholder<'_>, fetched: &'f Fetched) -> Result<Cow<'f, str>, TemplateProblem> {
    let value = attribute(placeholder, fetched)?;
    if value.is_object() || value.is_array() {
        return Err(TemplateProblem::BlockNotInline { placeholder: placeholder.text.to_owned() });
    }
    Ok(Cow::Owned(python_str(&value)))
}

/// What a block placeholder stands for: the block's data, or the part of it that the path leads to.
fn attribute<'f>(placeholder: &Placeholder<'_>, fetched: &'f Fetched) -> Result<Cow<'f, Value>, TemplateProblem> {
    let name = BlockName::of(placeholder)?;
    let data = unwrapped(data_of(&name.reference, fetched)?, name.path);
    let Some(path) = name.path else { return Ok(Cow::Borrowed(data)) };
    path::get(data, path).ok_or_else(|| TemplateProblem::BlockPathNotFound {
        placeholder: placeholder.text.to_owned(),
        path: path.to_owned(),
    })
}

/// Blocks such as `secret` hold nothing but a `value`, which need not be named in the path.
fn unwrapped<'f>(data: &'f Value, path: Option<&str>) -> &'f Value {
    let names_it = path.is_some_and(|path| path.starts_with("value"));
    let only_field = data.as_object().filter(|object| object.len() == 1 && !names_it);
    only_field.and_then(|object| object.get("value")).unwrap_or(data)
}

fn data_of<'f>(reference: &Reference, fetched: &'f Fetched) -> Result<&'f Value, TemplateProblem> {
    match fetched.get(reference) {
        Some(Some(data)) => Ok(data),
        Some(None) => Err(TemplateProblem::BlockNotFound(reference.clone())),
        None => Err(TemplateProblem::NotProvided(reference.clone())),
    }
}

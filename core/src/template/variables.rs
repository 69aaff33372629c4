//! The third pass: Prefect variables.

use std::borrow::Cow;
use std::convert::Infallible;

use serde_json::Value;

use super::placeholder::{Placeholder, PlaceholderKind};
use super::python_str;
use super::reference::Reference;
use super::resolution::Fetched;
use super::text::TemplateText;

/// Replaces every variable placeholder in `value`; a variable that does not exist is an empty string.
pub(super) fn resolve_variables(value: &Value, fetched: &Fetched) -> Value {
    match value {
        Value::String(text) => resolve_in_text(text, fetched),
        Value::Array(items) => items.iter().map(|item| resolve_variables(item, fetched)).collect(),
        Value::Object(object) => {
            let entries = object.iter().map(|(key, value)| (key.clone(), resolve_variables(value, fetched)));
            Value::Object(entries.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn resolve_in_text(text: &str, fetched: &Fetched) -> Value {
    let text = TemplateText::parse(text);
    if let Some(placeholder) = text.whole(PlaceholderKind::Variable) {
        return value_of(placeholder, fetched).cloned().unwrap_or_else(|| Value::String(String::new()));
    }
    let Ok(filled) = text.fill(|placeholder| {
        Ok::<_, Infallible>(match placeholder.kind {
            PlaceholderKind::Variable => Some(value_of(placeholder, fetched).map_or_else(Cow::default, text_of)),
            PlaceholderKind::Standard | PlaceholderKind::Env | PlaceholderKind::Block => None,
        })
    });
    Value::String(filled)
}

fn value_of<'f>(placeholder: &Placeholder<'_>, fetched: &'f Fetched) -> Option<&'f Value> {
    fetched.get(&Reference::Variable(placeholder.name.to_owned()))?.as_ref()
}

fn text_of(value: &Value) -> Cow<'_, str> {
    value.as_str().map_or_else(|| Cow::Owned(python_str(value)), Cow::Borrowed)
}

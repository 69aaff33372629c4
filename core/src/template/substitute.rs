//! The first pass: values at hand and the worker's environment.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::convert::Infallible;

use serde_json::{Map, Value};

use super::placeholder::{Placeholder, PlaceholderKind};
use super::text::TemplateText;
use super::{TemplateError, TemplateProblem, path, python_str, within_bound};

/// Fills in the standard and environment placeholders of `template`; block and variable placeholders stay.
///
/// A string that is one standard placeholder becomes the value itself, with its type; if there is no such value, the
/// key or list element that holds it is left out, and `None` is returned when that is the template itself. Within other
/// text a value becomes its [`python_str`] and a missing one nothing. Keys are not touched, nor is what was put in.
///
/// # Errors
/// The template, a value, or the result nests deeper than [`super::MAX_DEPTH`].
pub fn substitute(
    template: &Value,
    values: &Map<String, Value>,
    env: &BTreeMap<String, String>,
) -> Result<Option<Value>, TemplateError> {
    if !within_bound(template) || !values.values().all(within_bound) {
        return Err(TemplateProblem::TooDeep.into());
    }
    let filled = Substitution { values, env }.apply(template);
    if filled.as_ref().is_some_and(|filled| !within_bound(filled)) {
        return Err(TemplateProblem::TooDeep.into());
    }
    Ok(filled)
}

struct Substitution<'v> {
    values: &'v Map<String, Value>,
    env: &'v BTreeMap<String, String>,
}

impl<'v> Substitution<'v> {
    fn apply(&self, template: &Value) -> Option<Value> {
        match template {
            Value::String(text) => self.apply_to_text(text),
            Value::Array(items) => Some(items.iter().filter_map(|item| self.apply(item)).collect()),
            Value::Object(object) => {
                let entries = object.iter().filter_map(|(key, value)| Some((key.clone(), self.apply(value)?)));
                Some(Value::Object(entries.collect()))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Some(template.clone()),
        }
    }

    fn apply_to_text(&self, text: &str) -> Option<Value> {
        let text = TemplateText::parse(text);
        if let Some(placeholder) = text.whole(PlaceholderKind::Standard) {
            return path::get_in_object(self.values, placeholder.name).map(Cow::into_owned);
        }
        let Ok(filled) = text.fill(|placeholder| Ok::<_, Infallible>(self.text_for(placeholder)));
        Some(Value::String(filled))
    }

    fn text_for(&self, placeholder: &Placeholder<'_>) -> Option<Cow<'v, str>> {
        match placeholder.kind {
            PlaceholderKind::Standard => Some(match path::get_in_object(self.values, placeholder.name) {
                Some(value) => Cow::Owned(python_str(&value)),
                None => Cow::Borrowed(""),
            }),
            PlaceholderKind::Env => Some(Cow::Borrowed(self.env.get(placeholder.name).map_or("", String::as_str))),
            PlaceholderKind::Block | PlaceholderKind::Variable => None,
        }
    }
}

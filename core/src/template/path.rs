//! Value paths: `a.b[0].c`.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// The parts of a path. `[` counts as a dot and `]` as nothing, as Prefect reads them.
pub(crate) fn split(path: &str) -> Vec<String> {
    path.replace('[', ".").replace(']', "").split('.').map(str::to_owned).collect()
}

/// The value at `path` below an object, `None` if any part is missing.
pub(super) fn get_in_object<'v>(object: &'v Map<String, Value>, path: &str) -> Option<Cow<'v, Value>> {
    let parts = split(path);
    let (first, rest) = parts.split_first()?;
    descend(step_into_object(object, first)?, rest)
}

/// The value at `path` below any value.
pub(super) fn get<'v>(value: &'v Value, path: &str) -> Option<Cow<'v, Value>> {
    descend(value, &split(path))
}

fn descend<'v>(value: &'v Value, parts: &[String]) -> Option<Cow<'v, Value>> {
    let Some((part, rest)) = parts.split_first() else { return Some(Cow::Borrowed(value)) };
    match value {
        Value::Object(object) => descend(step_into_object(object, part)?, rest),
        Value::Array(items) => descend(items.get(position(integer(part)?, items.len())?)?, rest),
        // Python strings have an index too, and one of their characters is again such a string.
        Value::String(text) => {
            let character = text.chars().nth(position(integer(part)?, text.chars().count())?)?;
            let character = Value::String(character.to_string());
            descend(&character, rest).map(|found| Cow::Owned(found.into_owned()))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// A part that looks like an integer is never a key: JSON objects have text keys only.
fn step_into_object<'v>(object: &'v Map<String, Value>, part: &str) -> Option<&'v Value> {
    match integer(part) {
        Some(_) => None,
        None => object.get(part),
    }
}

/// Negative positions count from the end.
fn position(index: i64, length: usize) -> Option<usize> {
    let index = if index < 0 { i64::try_from(length).ok()?.checked_add(index)? } else { index };
    usize::try_from(index).ok()
}

/// A part as Python's `int()` reads it: an optional minus, digits, single underscores between them.
fn integer(part: &str) -> Option<i64> {
    let digits = part.strip_prefix('-').unwrap_or(part);
    let well_formed = digits.split('_').all(|group| !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit()));
    // Beyond 64 bits it is still an integer, and past the end of any list.
    well_formed.then(|| part.replace('_', "").parse().unwrap_or(i64::MAX))
}

//! Reading fields as leniently as Prefect's own job configurations (Pydantic) do.
//!
//! A field that is absent or null is `None`, for which the reader has a default. Booleans are also read from `yes`,
//! `off`, `1` and the like, integers from numeric text; text is never made from numbers.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde_json::{Map, Number, Value};

use super::JobConfigurationError;

/// Fields of a job configuration.
pub type Fields = Map<String, Value>;

/// A boolean, or one of `true false yes no on off t f y n 1 0` in any case.
///
/// # Errors
/// Anything else.
pub fn bool(fields: &Fields, field: &str) -> Result<Option<bool>, JobConfigurationError> {
    read(fields, field, "a boolean (true or false)", |value| match value {
        Value::Bool(bool) => Some(*bool),
        Value::Number(number) => bool_of_number(number),
        Value::String(text) => bool_of_text(text),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    })
}

/// An integer, a float without fraction, or either as text.
///
/// # Errors
/// Anything else, and what does not fit 64 bits.
pub fn int(fields: &Fields, field: &str) -> Result<Option<i64>, JobConfigurationError> {
    read(fields, field, "a whole number", |value| match value {
        Value::Bool(bool) => Some(i64::from(*bool)),
        Value::Number(number) => number.as_i64().or_else(|| int_of_float(number)),
        Value::String(text) => int_of_text(text.trim()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    })
}

/// A string.
///
/// # Errors
/// Anything else.
pub fn string(fields: &Fields, field: &str) -> Result<Option<String>, JobConfigurationError> {
    read(fields, field, "a string", |value| value.as_str().map(str::to_owned))
}

/// A path. The empty one is the current directory, as it is in Python.
///
/// # Errors
/// Anything but a string.
pub fn path(fields: &Fields, field: &str) -> Result<Option<Utf8PathBuf>, JobConfigurationError> {
    let path = string(fields, field)?;
    Ok(path.map(|path| if path.is_empty() { ".".into() } else { path.into() }))
}

/// An object whose values are strings.
///
/// # Errors
/// Anything else; a value of another type is named with its key.
pub fn string_map(fields: &Fields, field: &str) -> Result<Option<BTreeMap<String, String>>, JobConfigurationError> {
    let Some(object) = object(fields, field)? else { return Ok(None) };
    let entries = object.iter().map(|(key, value)| match value.as_str() {
        Some(text) => Ok((key.clone(), text.to_owned())),
        None => Err(wrong_type(&format!("{field}.{key}"), "a string", value)),
    });
    entries.collect::<Result<_, _>>().map(Some)
}

/// A list whose items are strings.
///
/// # Errors
/// Anything else; an item of another type is named with its place.
pub fn string_list(fields: &Fields, field: &str) -> Result<Option<Vec<String>>, JobConfigurationError> {
    let items = match fields.get(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(items)) => items,
        Some(other) => return Err(wrong_type(field, "a list of strings", other)),
    };
    let texts = items.iter().enumerate().map(|(place, item)| match item.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(wrong_type(&format!("{field}[{place}]"), "a string", item)),
    });
    texts.collect::<Result<_, _>>().map(Some)
}

/// An object.
///
/// # Errors
/// Anything else.
pub fn object<'f>(fields: &'f Fields, field: &str) -> Result<Option<&'f Fields>, JobConfigurationError> {
    match fields.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(other) => Err(wrong_type(field, "an object", other)),
    }
}

/// What a value is, in words for an error.
pub const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

pub(super) fn wrong_type(field: &str, expected: &'static str, found: &Value) -> JobConfigurationError {
    JobConfigurationError::WrongType { field: field.to_owned(), expected, found: kind_of(found) }
}

fn read<T>(
    fields: &Fields,
    field: &str,
    expected: &'static str,
    convert: impl FnOnce(&Value) -> Option<T>,
) -> Result<Option<T>, JobConfigurationError> {
    match fields.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => convert(value).map(Some).ok_or_else(|| {
            let found = if value.is_string() { "a string that cannot be read as one" } else { kind_of(value) };
            JobConfigurationError::WrongType { field: field.to_owned(), expected, found }
        }),
    }
}

fn bool_of_number(number: &Number) -> Option<bool> {
    match number.as_f64() {
        Some(0.0) => Some(false),
        Some(1.0) => Some(true),
        _ => None,
    }
}

fn bool_of_text(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
        "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// Through text, since Rust has no checked conversion from a float.
fn int_of_float(number: &Number) -> Option<i64> {
    number.as_f64()?.to_string().parse().ok()
}

/// Digits with an optional sign, single underscores between them, and an optional fraction of zeros.
fn int_of_text(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = whole.trim_start_matches(['+', '-']);
    let well_grouped = digits.split('_').all(|group| !group.is_empty());
    let no_fraction = !fraction.is_empty() && fraction.bytes().all(|byte| byte == b'0');
    (well_grouped && no_fraction).then(|| whole.replace('_', "").parse().ok())?
}

//! Reading of TOML files with the line of every key.

use std::io::ErrorKind;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value as Json;
use toml::de::{DeTable, DeValue};

use crate::{ConfigError, raw::Raw};

/// The text of a file; `None` when there is no such file.
pub(crate) fn read(path: &Utf8Path) -> Result<Option<String>, ConfigError> {
    match fs_err::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if is_absent(error.kind()) => Ok(None),
        Err(source) => Err(ConfigError::Read { source }),
    }
}

/// A folder in a file's place, as container mounts leave behind, counts as no file, as with the SDK.
fn is_absent(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory)
}

/// A TOML file's text with the means to say which line something is on.
#[derive(Clone, Copy)]
pub(crate) struct Document<'t> {
    pub(crate) path: &'t Utf8Path,
    text: &'t str,
}

impl<'t> Document<'t> {
    pub(crate) fn new(path: &'t Utf8Path, text: &'t str) -> Self {
        Self { path, text }
    }

    pub(crate) fn parse(self) -> Result<DeTable<'t>, ConfigError> {
        let table = DeTable::parse(self.text).map_err(|error| ConfigError::Syntax {
            path: self.path.to_owned(),
            line: self.line(error.span().map_or(0, |span| span.start)),
            // Only the message: the full text would quote the line, which may hold a secret.
            reason: error.message().replace('\n', " "),
        })?;
        Ok(table.into_inner())
    }

    /// The line, from 1, of a byte offset.
    pub(crate) fn line(self, offset: usize) -> usize {
        let newlines = self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
        newlines + 1
    }

    pub(crate) fn path(self) -> Utf8PathBuf {
        self.path.to_owned()
    }
}

/// A table inside another, if it is there and a table.
pub(crate) fn subtable<'d, 't>(table: &'d DeTable<'t>, key: &str) -> Option<&'d DeTable<'t>> {
    match get(table, key)? {
        DeValue::Table(inner) => Some(inner),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_) => None,
    }
}

/// A text inside a table, if it is there and a text.
pub(crate) fn text<'d>(table: &'d DeTable<'_>, key: &str) -> Option<&'d str> {
    if let DeValue::String(text) = get(table, key)? { Some(text) } else { None }
}

fn get<'d, 't>(table: &'d DeTable<'t>, key: &str) -> Option<&'d DeValue<'t>> {
    table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value.get_ref())
}

/// A value other than a table; a table becomes the text of its JSON.
pub(crate) fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Raw::Text(number.to_string()), Raw::Int),
        DeValue::Float(number) => number.as_str().parse().map_or_else(|_| Raw::Text(number.to_string()), Raw::Float),
        DeValue::Boolean(value) => Raw::Bool(*value),
        DeValue::Datetime(time) => Raw::Text(time.to_string()),
        DeValue::Array(items) => Raw::List(items.iter().map(|item| raw(item.get_ref())).collect()),
        DeValue::Table(table) => Raw::Text(json_table(table).to_string()),
    }
}

fn json_table(table: &DeTable<'_>) -> Json {
    let entries = table.iter().map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref())));
    Json::Object(entries.collect())
}

fn json(value: &DeValue<'_>) -> Json {
    match value {
        DeValue::Table(table) => json_table(table),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
            match raw(value) {
                Raw::Bool(value) => Json::from(value),
                Raw::Int(value) => Json::from(value),
                Raw::Float(value) => Json::from(value),
                Raw::Text(text) => Json::from(text),
                Raw::List(_) => Json::Null,
            }
        }
    }
}

/// The kind of a value, as an error names it.
pub(crate) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

//! JSON values as Python writes and judges them: this text ends up in environment variables and commands, so users see
//! a difference.

use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Number, Value};

use super::MAX_DEPTH;

/// Python's `str()` of a value: a string as it is, anything else as its `repr()` (`True`, `None`, `1.0`,
/// `{'a': [1]}`).
///
/// What nests deeper than four times [`MAX_DEPTH`] is written as `...`.
pub fn python_str(value: &Value) -> String {
    if let Value::String(text) = value {
        return text.clone();
    }
    let mut out = String::new();
    write_repr(&mut out, value, 0);
    out
}

/// Python's `bool()` of a value: false for null, `false`, zero and whatever is empty.
pub(crate) fn python_truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(bool) => *bool,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(object) => !object.is_empty(),
    }
}

fn write_repr(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(number) => out.push_str(&number_repr(number)),
        Value::String(text) => write_string_repr(out, text),
        Value::Array(_) | Value::Object(_) if depth >= 4 * MAX_DEPTH => out.push_str("..."),
        Value::Array(items) => write_list_repr(out, items, depth + 1),
        Value::Object(object) => write_dict_repr(out, object, depth + 1),
    }
}

fn write_list_repr(out: &mut String, items: &[Value], depth: usize) {
    out.push('[');
    for (position, item) in items.iter().enumerate() {
        out.push_str(if position == 0 { "" } else { ", " });
        write_repr(out, item, depth);
    }
    out.push(']');
}

fn write_dict_repr(out: &mut String, object: &Map<String, Value>, depth: usize) {
    out.push('{');
    for (position, (key, value)) in object.iter().enumerate() {
        out.push_str(if position == 0 { "" } else { ", " });
        write_string_repr(out, key);
        out.push_str(": ");
        write_repr(out, value, depth);
    }
    out.push('}');
}

fn number_repr(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => float_repr(float),
        _ => number.to_string(),
    }
}

/// Both languages print the shortest digits that read back as the same number; only the notation differs.
fn float_repr(float: f64) -> String {
    let scientific = format!("{float:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ => {
            let decimal = float.to_string();
            if decimal.contains('.') { decimal } else { decimal + ".0" }
        }
    }
}

/// Characters that Python's `str.isprintable` denies, the ASCII space apart.
static NOT_PRINTABLE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[\p{C}\p{Z}]").expect("the pattern is a constant"));

fn is_printable(character: char) -> bool {
    if character.is_ascii() {
        return !character.is_ascii_control();
    }
    !NOT_PRINTABLE.is_match(character.encode_utf8(&mut [0; 4]))
}

fn write_string_repr(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if character == quote || character == '\\' => out.extend(['\\', character]),
            _ if is_printable(character) => out.push(character),
            _ => write_escaped(out, character),
        }
    }
    out.push(quote);
}

fn write_escaped(out: &mut String, character: char) {
    let code = u32::from(character);
    let written = match code {
        0..=0xff => write!(out, "\\x{code:02x}"),
        0x100..=0xffff => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}

//! Text of values as the Python SDK writes and reads it.
//!
//! A flow run's environment must hold what the SDK would have put there (`True`, `3.0`, `{"a": "b"}`), and a variable that
//! the SDK accepts must not be refused here.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// `True` or `False`.
pub(crate) fn boolean(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

/// The shortest text of the number, always with a fraction or an exponent.
pub(crate) fn float(value: f64) -> String {
    let text = format!("{value:?}");
    match text.split_once('e') {
        // Python writes the sign and at least two digits of an exponent.
        Some((mantissa, exponent)) => match exponent.strip_prefix('-') {
            Some(digits) => format!("{mantissa}e-{digits:0>2}"),
            None => format!("{mantissa}e+{exponent:0>2}"),
        },
        None => text,
    }
}

/// A JSON object as `json.dumps` writes it: spaces after separators, ASCII only.
pub(crate) fn json_object(object: &Map<String, Value>) -> String {
    let mut out = String::new();
    write_object(&mut out, object);
    out
}

/// A set of texts: sorted, joined by commas.
pub(crate) fn set(mut items: Vec<String>) -> String {
    items.sort();
    items.dedup();
    items.join(",")
}

/// Reads the words for a truth value that the SDK accepts.
pub(crate) fn parse_boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "t" | "yes" | "y" | "on" => Some(true),
        "0" | "false" | "f" | "no" | "n" | "off" => Some(false),
        _ => None,
    }
}

/// Reads an integer: `5`, ` 5 `, `5_000`, `5.0`.
pub(crate) fn parse_integer(text: &str) -> Option<i64> {
    let text = text.trim().replace('_', "");
    let whole = match text.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() && fraction.bytes().all(|digit| digit == b'0') => whole,
        Some(_) => return None,
        None => &text,
    };
    whole.parse().ok()
}

/// Reads a number; infinities and NaN are numbers too.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    text.trim().replace('_', "").parse().ok()
}

fn write_object(out: &mut String, object: &Map<String, Value>) {
    out.push('{');
    for (index, (key, value)) in object.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write_string(out, key);
        out.push_str(": ");
        write_value(out, value);
    }
    out.push('}');
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => write_string(out, text),
        Value::Object(object) => write_object(out, object),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
    }
}

fn write_string(out: &mut String, text: &str) {
    let quoted = Value::from(text).to_string();
    for character in quoted.chars() {
        if character.is_ascii() {
            out.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            write!(out, "\\u{unit:04x}").unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_look_like_pythons() {
        let cases = [
            (3.0, "3.0"),
            (0.1, "0.1"),
            (10.25, "10.25"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (0.000_01, "1e-05"),
            (0.0001, "0.0001"),
            (123_456_789.0, "123456789.0"),
        ];
        for (value, expected) in cases {
            assert_eq!(float(value), expected);
        }
    }

    #[test]
    fn json_has_spaces_and_is_ascii() {
        let object = serde_json::json!({"X-Name": "J\u{fc}rgen \"\u{1f600}\"", "n": [1, {"a": null}]});
        assert_eq!(
            json_object(object.as_object().unwrap()),
            r#"{"X-Name": "J\u00fcrgen \"\ud83d\ude00\"", "n": [1, {"a": null}]}"#
        );
    }

    #[test]
    fn truth_values_are_read_as_the_sdk_reads_them() {
        for word in ["true", "TRUE", "1", "yes", "Y", "on", "t"] {
            assert_eq!(parse_boolean(word), Some(true), "{word}");
        }
        for word in ["false", "0", "No", "n", "OFF", "f"] {
            assert_eq!(parse_boolean(word), Some(false), "{word}");
        }
        for word in ["", "2", "enabled", " true"] {
            assert_eq!(parse_boolean(word), None, "{word}");
        }
    }

    #[test]
    fn integers_are_read_as_the_sdk_reads_them() {
        let cases = [
            ("5", Some(5)),
            (" 5 ", Some(5)),
            ("1_000", Some(1000)),
            ("-3", Some(-3)),
            ("5.0", Some(5)),
            ("5.5", None),
            ("5.", None),
            ("", None),
            ("five", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_integer(text), expected, "{text:?}");
        }
    }
}

//! Sizes as docker-py reads them.

use serde_json::{Number, Value};

const UNITS: [(char, f64); 4] = [('b', 1.0), ('k', 1024.0), ('m', 1024.0 * 1024.0), ('g', 1024.0 * 1024.0 * 1024.0)];

/// The number of bytes that docker-py's `parse_bytes` reads: a number, or text like `512`, `128m`, `1.5g` or `64MB`.
pub(crate) fn bytes_of(text_or_number: &Value) -> Option<i64> {
    match text_or_number {
        Value::Number(number) => bytes_of_number(number),
        Value::String(text) => bytes_of_text(text),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn bytes_of_number(number: &Number) -> Option<i64> {
    number.as_i64().or_else(|| whole_part(number.as_f64()?))
}

fn bytes_of_text(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let text = without_b_after_unit(text);
    let last = text.chars().next_back()?;
    if last.is_ascii_digit() {
        return scaled(text, 1.0);
    }
    let (_, factor) = UNITS.into_iter().find(|(unit, _)| *unit == last.to_ascii_lowercase())?;
    scaled(text.strip_suffix(last)?, factor)
}

/// `128MB` is `128M`; a `b` after digits is itself the unit.
fn without_b_after_unit(text: &str) -> &str {
    text.strip_suffix(['b', 'B']).filter(|rest| rest.ends_with(char::is_alphabetic)).unwrap_or(text)
}

fn scaled(digits: &str, factor: f64) -> Option<i64> {
    whole_part(digits.trim().parse::<f64>().ok()? * factor)
}

/// Through text, since Rust has no checked conversion from a float; infinity is no number in it.
fn whole_part(bytes: f64) -> Option<i64> {
    bytes.trunc().to_string().parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_are_read_as_docker_py_reads_them() {
        let cases = [
            (json!("512MB"), Some(536_870_912)),
            (json!("512Mb"), Some(536_870_912)),
            (json!("512M"), Some(536_870_912)),
            (json!("512m"), Some(536_870_912)),
            (json!("1.5k"), Some(1536)),
            (json!("1.5g"), Some(1_610_612_736)),
            (json!("512k"), Some(524_288)),
            (json!("100000b"), Some(100_000)),
            (json!("100"), Some(100)),
            (json!("1.9"), Some(1)),
            (json!("-1"), Some(-1)),
            (json!(""), Some(0)),
            (json!("128 m"), Some(134_217_728)),
            (json!(67_108_864), Some(67_108_864)),
            (json!(-1), Some(-1)),
            (json!(1024.7), Some(1024)),
            (json!(1e30), None),
            (json!("512MK"), None),
            (json!("512L"), None),
            (json!("512MiB"), None),
            (json!("127.0.0.1K"), None),
            (json!("infk"), None),
            (json!("nanm"), None),
            (json!("99999999999g"), None),
            (json!("m"), None),
            (json!("mb"), None),
            (json!("ü"), None),
            (json!(true), None),
            (json!(null), None),
            (json!(["1g"]), None),
        ];
        for (given, bytes) in cases {
            assert_eq!(bytes_of(&given), bytes, "{given}");
        }
    }
}

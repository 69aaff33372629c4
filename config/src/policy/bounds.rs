//! Amounts in a policy file.

use toml::de::DeValue;

use crate::memory_size;

/// Processors, in thousandths.
pub(super) fn cpu(value: &DeValue<'_>) -> Result<u64, &'static str> {
    const WANTED: &str = "must be a number of processors above zero, such as 4 or 0.5";
    let number: f64 = match value {
        DeValue::Integer(number) => number.as_str().parse().map_err(|_| WANTED)?,
        DeValue::Float(number) => number.as_str().parse().map_err(|_| WANTED)?,
        DeValue::String(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
            return Err(WANTED);
        }
    };
    let millis = (number * 1000.0).round();
    if millis.is_finite() && millis >= 1.0 { format!("{millis:.0}").parse().map_err(|_| WANTED) } else { Err(WANTED) }
}

/// Bytes.
pub(super) fn memory(value: &DeValue<'_>) -> Result<u64, &'static str> {
    let DeValue::String(text) = value else { return Err(memory_size::WANTED) };
    memory_size::of(text).ok_or(memory_size::WANTED)
}

/// Seconds.
pub(super) fn seconds(value: &DeValue<'_>) -> Result<u64, &'static str> {
    const WANTED: &str = "must be a whole number of seconds above zero";
    let DeValue::Integer(number) = value else { return Err(WANTED) };
    number.as_str().parse().ok().filter(|seconds| *seconds > 0).ok_or(WANTED)
}

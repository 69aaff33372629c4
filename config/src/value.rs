//! From a value as found to the type a setting has. A refusal says what the value has to be and, in backticks, what it is.

use std::time::Duration;

use crate::{
    python_text::{parse_boolean, parse_float, parse_integer},
    raw::Raw,
};

/// What a setting refuses a value with; completes a sentence that begins with the setting's name.
pub(crate) type Refusal = String;

pub(crate) fn boolean(raw: &Raw) -> Result<bool, Refusal> {
    let parsed = match raw {
        Raw::Bool(value) => Some(*value),
        Raw::Text(text) => parse_boolean(text),
        Raw::Int(0) => Some(false),
        Raw::Int(1) => Some(true),
        Raw::Int(_) | Raw::Float(_) | Raw::List(_) => None,
    };
    parsed.ok_or_else(|| refusal("must be true or false", raw))
}

pub(crate) fn integer(raw: &Raw) -> Result<i64, Refusal> {
    let parsed = match raw {
        Raw::Int(value) => Some(*value),
        Raw::Text(text) => parse_integer(text),
        Raw::Float(value) => parse_integer(&crate::python_text::float(*value)),
        Raw::Bool(value) => Some(i64::from(*value)),
        Raw::List(_) => None,
    };
    parsed.ok_or_else(|| refusal("must be a whole number", raw))
}

/// A whole number of at least `least` that fits the wanted type.
pub(crate) fn integer_from<T: TryFrom<i64>>(least: i64) -> impl Fn(&Raw) -> Result<T, Refusal> {
    move |raw| {
        let value = integer(raw)?;
        if value < least {
            return Err(refusal(&format!("must be at least {least}"), raw));
        }
        T::try_from(value).map_err(|_| refusal("is too large", raw))
    }
}

pub(crate) fn float(raw: &Raw) -> Result<f64, Refusal> {
    let parsed = match raw {
        Raw::Float(value) => Some(*value),
        Raw::Int(_) | Raw::Text(_) => parse_float(&raw.clone().into_text()),
        Raw::Bool(value) => Some(f64::from(u8::from(*value))),
        Raw::List(_) => None,
    };
    parsed.ok_or_else(|| refusal("must be a number", raw))
}

pub(crate) fn not_negative(raw: &Raw) -> Result<f64, Refusal> {
    let value = float(raw)?;
    if value.is_finite() && value >= 0.0 { Ok(value) } else { Err(refusal("must not be negative", raw)) }
}

/// A span of time in seconds; zero is one.
pub(crate) fn seconds(raw: &Raw) -> Result<Duration, Refusal> {
    let value = float(raw)?;
    Duration::try_from_secs_f64(value).map_err(|_| refusal("must be a number of seconds, not negative", raw))
}

/// A span of time in seconds between two turns of a loop: zero would make the loop spin.
pub(crate) fn interval(raw: &Raw) -> Result<Duration, Refusal> {
    match seconds(raw)? {
        Duration::ZERO => Err(refusal("must be more than 0 seconds", raw)),
        interval => Ok(interval),
    }
}

pub(crate) fn text(raw: &Raw) -> Result<String, Refusal> {
    match raw {
        Raw::Text(text) => Ok(text.clone()),
        Raw::Bool(_) | Raw::Int(_) | Raw::Float(_) | Raw::List(_) => Err(refusal("must be a string", raw)),
    }
}

pub(crate) fn not_empty(raw: &Raw) -> Result<String, Refusal> {
    let text = text(raw)?;
    if text.is_empty() {
        return Err("must not be empty".to_owned());
    }
    Ok(text)
}

/// Texts: a list, the JSON of one, or texts separated by commas. Empty ones are left out.
pub(crate) fn texts(raw: &Raw) -> Result<Vec<String>, Refusal> {
    let items = match raw {
        Raw::List(items) => items.iter().map(text).collect::<Result<Vec<_>, _>>()?,
        Raw::Text(text) if text.trim_start().starts_with('[') => {
            serde_json::from_str(text).map_err(|_| refusal("must be a JSON array of strings", raw))?
        }
        Raw::Text(text) => text.split(',').map(str::to_owned).collect(),
        Raw::Bool(_) | Raw::Int(_) | Raw::Float(_) => return Err(refusal("must be a list of strings", raw)),
    };
    let trimmed = items.iter().map(|item| item.trim()).filter(|item| !item.is_empty());
    Ok(trimmed.map(str::to_owned).collect())
}

/// Says what a value has to be and what it is.
pub(crate) fn refusal(wanted: &str, raw: &Raw) -> Refusal {
    match raw {
        Raw::Text(text) if text.is_empty() => format!("{wanted}, it is set to nothing"),
        Raw::Text(_) | Raw::Bool(_) | Raw::Int(_) | Raw::Float(_) | Raw::List(_) => {
            format!("{wanted}, not `{}`", shown(raw))
        }
    }
}

/// The value for an error: short, and without the password of a URL.
fn shown(raw: &Raw) -> String {
    const LONGEST: usize = 80;
    let text = crate::mask::url_password(&raw.clone().into_text());
    if text.chars().count() <= LONGEST {
        return text;
    }
    let start: String = text.chars().take(LONGEST).collect();
    format!("{start}…")
}

//! The base environment of flow runs: every Prefect setting that some source sets, as the SDK would hand it on.
//!
//! Variables that are no settings of the SDK, and those of its integrations, are not part of it.

use std::collections::BTreeMap;

use camino::Utf8Path;
use secrecy::SecretString;

use super::{
    forms,
    known::{self, Kind, KnownSetting},
};
use crate::{
    layer::Merged,
    mask::MASK,
    python_text,
    raw::Raw,
    reading::{Label, Reading},
    value::{self, Refusal},
};

/// Levels that debug mode overrides: the SDK no longer counts them as set then.
const OVERRIDDEN_BY_DEBUG_MODE: [&str; 2] = ["PREFECT_LOGGING_LEVEL", "PREFECT_INTERNAL_LOGGING_LEVEL"];

/// Makes the base environment. A value of a setting the worker does not use itself, in a form not known here, is handed on
/// as written with a warning: a newer SDK may know it.
pub(crate) fn base_environment(
    merged: &Merged,
    debug_mode: bool,
    home_directory: Option<&Utf8Path>,
    warnings: &mut Vec<String>,
) -> BTreeMap<String, SecretString> {
    let mut environment = BTreeMap::new();
    for setting in known::all().filter(|setting| setting.is_handed_on) {
        let Some(found) = merged.get(setting.variable) else {
            continue;
        };
        if debug_mode && OVERRIDDEN_BY_DEBUG_MODE.contains(&setting.variable) {
            continue;
        }
        let text = python(setting, &found.value, home_directory).unwrap_or_else(|reason| {
            warnings.push(format!("{}: `{}` {reason}; flow runs get it as it is", found.origin, setting.key));
            found.value.clone().into_text()
        });
        environment.insert(setting.variable.to_owned(), SecretString::from(text));
    }
    environment
}

/// Adds to the report the settings that the worker does not use itself but hands on to flow runs.
pub(crate) fn list_handed_on(reading: &mut Reading<'_>) {
    for setting in known::all().filter(|setting| setting.is_handed_on) {
        let Some(found) = reading.merged.get(setting.variable) else {
            continue;
        };
        let is_listed = reading.report.iter().any(|line| line.variable.as_deref() == Some(setting.variable));
        if is_listed {
            continue;
        }
        let value = if setting.is_secret() { MASK.to_owned() } else { found.value.clone().into_text() };
        let label = Label { key: setting.key, variable: setting.variable };
        reading.list(label, Some(value), found.origin.clone());
    }
}

fn python(setting: &KnownSetting, raw: &Raw, home_directory: Option<&Utf8Path>) -> Result<String, Refusal> {
    let text = match setting.kind {
        Kind::Bool => python_text::boolean(value::boolean(raw)?).to_owned(),
        Kind::Int => value::integer(raw)?.to_string(),
        Kind::Float => python_text::float(value::float(raw)?),
        Kind::Text | Kind::Path => value::text(raw)?,
        Kind::Secret => match raw {
            Raw::Text(text) => text.clone(),
            Raw::Bool(_) | Raw::Int(_) | Raw::Float(_) | Raw::List(_) => return Err("must be a string".to_owned()),
        },
        Kind::Home => super::expand_home(&value::text(raw)?, home_directory).into_string(),
        Kind::Level => forms::level(raw)?.as_str().to_owned(),
        Kind::Set => python_text::set(value::texts(raw)?),
        Kind::Codes => {
            let codes = forms::status_codes(raw)?;
            python_text::set(codes.iter().map(u16::to_string).collect())
        }
        Kind::Headers => python_text::json_object(&forms::headers(raw)?),
        Kind::Json => python_text::json_object(&forms::json_object(raw)?),
        Kind::Duration => match raw {
            Raw::Int(_) | Raw::Float(_) => format!("PT{}S", raw.clone().into_text()),
            Raw::Text(text) => text.clone(),
            Raw::Bool(_) | Raw::List(_) => return Err("must be a span of time".to_owned()),
        },
        Kind::Raw => match raw {
            Raw::Bool(value) => python_text::boolean(*value).to_owned(),
            Raw::Text(_) | Raw::Int(_) | Raw::Float(_) | Raw::List(_) => raw.clone().into_text(),
        },
    };
    Ok(text)
}

//! How the engine tells whether the container is well.

use bollard::models::HealthConfig;
use serde_json::Value;

use super::{KwargError, fields::Fields, given::Given, place::Asked};

const FIELDS: &[&str] = &["Test", "Interval", "Timeout", "Retries", "StartPeriod", "StartInterval"];

pub(super) fn healthcheck(given: &Given<'_>, asked: &mut Asked<'_>) -> Result<(), KwargError> {
    let fields = Fields::of(given, FIELDS)?;
    asked.body.healthcheck = Some(HealthConfig {
        test: fields.read("Test", test)?,
        interval: fields.read("Interval", Given::whole)?,
        timeout: fields.read("Timeout", Given::whole)?,
        retries: fields.read("Retries", Given::whole)?,
        start_period: fields.read("StartPeriod", Given::whole)?,
        start_interval: fields.read("StartInterval", Given::whole)?,
    });
    Ok(())
}

fn test(given: &Given<'_>) -> Result<Vec<String>, KwargError> {
    if let Value::String(line) = given.value {
        return Ok(vec!["CMD-SHELL".to_owned(), line.clone()]);
    }
    given.text_or_texts()
}

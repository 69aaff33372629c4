//! Merging the levels of job variables.

use serde_json::{Map, Value};

use super::JobConfigurationError;
use super::lenient::kind_of;
use crate::template::{MAX_DEPTH, split_path};

/// Flow-run variables over those of the deployment: key by key at the top level, entry by entry within `env`.
pub(super) fn over_deployment(
    deployment: &Map<String, Value>,
    flow_run: &Map<String, Value>,
) -> Result<Map<String, Value>, JobConfigurationError> {
    let mut merged = deployment.clone();
    for (key, value) in flow_run {
        match (key.as_str(), merged.get_mut(key)) {
            ("env", Some(Value::Object(env))) => merge_env(env, value, "the flow run's job variable `env`")?,
            _ => drop(merged.insert(key.clone(), value.clone())),
        }
    }
    Ok(merged)
}

/// Adds the entries of `over` to `env`; null adds nothing.
pub(super) fn merge_env(
    env: &mut Map<String, Value>,
    over: &Value,
    level: &'static str,
) -> Result<(), JobConfigurationError> {
    if over.is_null() {
        return Ok(());
    }
    let over = over.as_object().ok_or_else(|| JobConfigurationError::EnvNotObject { level, found: kind_of(over) })?;
    env.extend(over.iter().map(|(name, value)| (name.clone(), value.clone())));
    Ok(())
}

/// Expands keys such as `env.NAME` into nested objects. The undotted keys come last and win.
pub(super) fn expand_dotted(values: Map<String, Value>) -> Result<Map<String, Value>, JobConfigurationError> {
    let (dotted, undotted): (Vec<_>, Vec<_>) = values.into_iter().partition(|(key, _)| key.contains('.'));
    let mut expanded = Map::new();
    for (key, value) in dotted {
        set_at(&mut expanded, &key, value)?;
    }
    for (key, value) in undotted {
        set_merged(&mut expanded, key, value);
    }
    Ok(expanded)
}

fn set_at(object: &mut Map<String, Value>, key: &str, value: Value) -> Result<(), JobConfigurationError> {
    let mut parts = split_path(key);
    if parts.len() > MAX_DEPTH {
        return Err(JobConfigurationError::VariableTooDeep { key: key.to_owned() });
    }
    let Some(last) = parts.pop() else { return Ok(()) };
    let mut at = object;
    for part in parts {
        let inner = at.entry(part.as_str()).or_insert_with(|| Value::Object(Map::new()));
        at = inner
            .as_object_mut()
            .ok_or_else(|| JobConfigurationError::DottedKeyBlocked { key: key.to_owned(), part })?;
    }
    at.insert(last, value);
    Ok(())
}

/// Objects merge at every level, anything else is replaced.
fn set_merged(object: &mut Map<String, Value>, key: String, value: Value) {
    match (object.get_mut(&key), value) {
        (Some(Value::Object(below)), Value::Object(over)) => {
            for (key, value) in over {
                set_merged(below, key, value);
            }
        }
        (_, value) => drop(object.insert(key, value)),
    }
}

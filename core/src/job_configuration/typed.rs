//! The fields that every kind of infrastructure has.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::JobConfigurationError;
use super::lenient::{self, Fields, wrong_type};
use crate::spec::ReportState;
use crate::template::python_str;

pub(super) const REPORT_STATE: &str = "report_state";

/// A run's job configuration with blocks and variables resolved.
///
/// `command`, `env` and `fields` may hold secrets, so `Debug` shows only their names.
#[derive(Clone, PartialEq)]
pub struct JobConfiguration {
    /// The command, in shell words; `None` means the kind's default. An empty one counts as `None`.
    pub command: Option<String>,
    /// Environment variables; null removes a variable of that name that the worker would set.
    pub env: BTreeMap<String, Option<String>>,
    /// Entries of an `env` given as Kubernetes' list that take their value from elsewhere (`valueFrom`), as they stand.
    pub env_from: Vec<Value>,
    /// Labels for the infrastructure.
    pub labels: BTreeMap<String, String>,
    /// Name for the infrastructure, perhaps with `{{ ctx.… }}` placeholders.
    pub name: Option<String>,
    /// Who reports the run's states.
    pub report_state: ReportState,
    /// The fields of the kind itself, for its plugin to read with [`lenient`].
    pub fields: Fields,
}

impl JobConfiguration {
    pub(super) fn from_fields(mut fields: Fields) -> Result<Self, JobConfigurationError> {
        let (env, env_from) = read_env(&fields)?;
        let configuration = Self {
            command: lenient::string(&fields, "command")?.filter(|command| !command.is_empty()),
            env,
            env_from,
            labels: lenient::string_map(&fields, "labels")?.unwrap_or_default(),
            name: lenient::string(&fields, "name")?,
            report_state: read_report_state(&fields)?,
            fields: Fields::new(),
        };
        fields.retain(|field, _| !["command", "env", "labels", "name", REPORT_STATE].contains(&field.as_str()));
        Ok(Self { fields, ..configuration })
    }
}

impl fmt::Debug for JobConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobConfiguration")
            .field("env", &self.env.keys())
            .field("labels", &self.labels)
            .field("name", &self.name)
            .field("report_state", &self.report_state)
            .field("fields", &self.fields.keys())
            .finish_non_exhaustive()
    }
}

/// Plain variables, and entries that take their value from elsewhere.
type Environment = (BTreeMap<String, Option<String>>, Vec<Value>);

fn read_env(fields: &Fields) -> Result<Environment, JobConfigurationError> {
    if let Some(Value::Array(entries)) = fields.get("env") {
        return read_env_list(entries);
    }
    let env = lenient::object(fields, "env")?.into_iter().flatten();
    Ok((env.map(|(name, value)| (name.clone(), env_text(value))).collect(), Vec::new()))
}

/// Kubernetes' form: a list of entries with `name` and `value` or `valueFrom`. An entry with neither says nothing.
fn read_env_list(entries: &[Value]) -> Result<Environment, JobConfigurationError> {
    let (mut env, mut env_from) = (BTreeMap::new(), Vec::new());
    for (place, entry) in entries.iter().enumerate() {
        let Some(name) = entry.get("name").and_then(Value::as_str) else {
            return Err(wrong_type(&format!("env[{place}]"), "an object with a `name`", entry));
        };
        if entry.get("valueFrom").is_some_and(|from| !from.is_null()) {
            env_from.push(entry.clone());
        } else if let Some(value) = entry.get("value") {
            env.insert(name.to_owned(), env_text(value));
        }
    }
    Ok((env, env_from))
}

/// Unlike in every other field, values that are not text become text: `1` is `"1"`, `true` is `"True"`.
fn env_text(value: &Value) -> Option<String> {
    (!value.is_null()).then(|| python_str(value))
}

fn read_report_state(fields: &Fields) -> Result<ReportState, JobConfigurationError> {
    match fields.get(REPORT_STATE) {
        None | Some(Value::Null) => Ok(ReportState::default()),
        Some(value) => match value.as_str() {
            Some("engine") => Ok(ReportState::Engine),
            Some("worker") => Ok(ReportState::Worker),
            Some(_) => Err(JobConfigurationError::WrongType {
                field: REPORT_STATE.to_owned(),
                expected: "`engine` or `worker`",
                found: "another string",
            }),
            None => Err(wrong_type(REPORT_STATE, "`engine` or `worker`", value)),
        },
    }
}

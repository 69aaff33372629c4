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
        let configuration = Self {
            command: lenient::string(&fields, "command")?.filter(|command| !command.is_empty()),
            env: read_env(&fields)?,
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

/// Unlike every other field, values that are not text become text: `1` is `"1"`, `true` is `"True"`.
fn read_env(fields: &Fields) -> Result<BTreeMap<String, Option<String>>, JobConfigurationError> {
    let env = lenient::object(fields, "env")?.into_iter().flatten();
    let entries = env.map(|(name, value)| {
        let text = if value.is_null() { None } else { Some(python_str(value)) };
        (name.clone(), text)
    });
    Ok(entries.collect())
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

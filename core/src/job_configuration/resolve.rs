//! The base job template filled in for one run.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::lenient::kind_of;
use super::merge::{expand_dotted, merge_env, over_deployment};
use super::typed::REPORT_STATE;
use super::{JobConfiguration, JobConfigurationError};
use crate::template::{Reference, Resolution, TemplateError, TemplateProblem, python_truth, substitute, within_bound};

/// Merges job variables over the work pool's defaults and fills in the base job template with them.
///
/// In rising priority: schema defaults of the work pool, deployment, flow run. A value replaces the one below it as a
/// whole; only `env` is merged by name, over all levels and over an `env` hard-coded in the template. Keys such as
/// `env.NAME` are expanded first. Null defaults count as no default, null job variables as null.
///
/// `own_variables` are job variables of ours that pools made by Prefect do not know: they work there all the same, as fields
/// of their own names. `worker_env` is the worker's own environment, for `{{ $NAME }}`.
///
/// # Errors
/// A malformed template, an `env` that is no object, dotted keys that contradict each other, or a malformed block
/// reference.
pub fn resolve(
    base_job_template: &Value,
    deployment_job_variables: &Map<String, Value>,
    flow_run_job_variables: &Map<String, Value>,
    own_variables: &[&str],
    worker_env: &BTreeMap<String, String>,
) -> Result<Draft, JobConfigurationError> {
    check_depth(base_job_template, [deployment_job_variables, flow_run_job_variables])?;
    let (mut configuration, schema) = job_configuration(base_job_template, own_variables)?;
    let mut variables = schema_defaults(schema)?;

    // The pool's default goes below whatever replaces it among the variables, so that its entries survive.
    if let Some(default) = variables.get("env").filter(|env| python_truth(env)) {
        match configuration.get_mut("env") {
            Some(Value::Object(env)) => merge_env(env, default, "the work pool's default `env`")?,
            _ => drop(configuration.insert("env".to_owned(), default.clone())),
        }
    }
    let job_variables = over_deployment(deployment_job_variables, flow_run_job_variables)?;
    variables.extend(expand_dotted(job_variables)?);
    if let Some(Value::Object(env)) = configuration.get_mut("env")
        && let Some(over) = variables.get("env").filter(|env| python_truth(env))
    {
        merge_env(env, over, "job variable `env`")?;
    }

    // An object is never left out as a whole, so there is always a result.
    let filled = substitute(&Value::Object(configuration), &variables, worker_env)?.unwrap_or_default();
    Ok(Draft(Resolution::new(filled)?))
}

/// The two parts of a base job template.
pub(super) type Parts<'t> = (Map<String, Value>, &'t Map<String, Value>);

/// The configuration of a base job template, with a place for variables of ours that it does not know, and the schema of its
/// variables.
pub(super) fn job_configuration<'t>(
    base_job_template: &'t Value,
    own_variables: &[&str],
) -> Result<Parts<'t>, JobConfigurationError> {
    let mut configuration = section(base_job_template, "job_configuration", "`job_configuration`")?.clone();
    for variable in [REPORT_STATE].iter().chain(own_variables) {
        configuration.entry(*variable).or_insert_with(|| Value::from(format!("{{{{ {variable} }}}}")));
    }
    Ok((configuration, section(base_job_template, "variables", "`variables`")?))
}

/// A job configuration that lacks only the data of blocks and variables.
///
/// Fetch what is [`pending`](Self::pending), [`provide`](Self::provide) it, and repeat until nothing is: a block may
/// mention variables. Then [`finish`](Self::finish). `Debug` shows only what is pending.
#[derive(Debug)]
pub struct Draft(Resolution);

impl Draft {
    /// What the template has become so far.
    pub(super) fn filled(&self) -> &Value {
        self.0.value()
    }

    /// What has to be fetched now; empty when [`finish`](Self::finish) can be called.
    pub fn pending(&self) -> &[Reference] {
        self.0.pending()
    }

    /// Takes the data of a block document or the value of a variable; `None` if the server has none.
    ///
    /// # Errors
    /// A block that does not exist or that cannot stand where it is mentioned.
    pub fn provide(&mut self, reference: &Reference, data: Option<Value>) -> Result<(), JobConfigurationError> {
        Ok(self.0.provide(reference, data)?)
    }

    /// The typed configuration.
    ///
    /// # Errors
    /// A field of the wrong type, or something still pending.
    pub fn finish(self) -> Result<JobConfiguration, JobConfigurationError> {
        let resolved = self.0.finish()?;
        let Value::Object(fields) = resolved else {
            let part = "what `job_configuration` resolves to";
            return Err(JobConfigurationError::MalformedTemplate { part, found: kind_of(&resolved) });
        };
        JobConfiguration::from_fields(fields)
    }
}

fn check_depth(template: &Value, variables: [&Map<String, Value>; 2]) -> Result<(), JobConfigurationError> {
    if !within_bound(template) {
        return Err(TemplateError::from(TemplateProblem::TooDeep).into());
    }
    match variables.into_iter().flatten().find(|(_, value)| !within_bound(value)) {
        Some((key, _)) => Err(JobConfigurationError::VariableTooDeep { key: key.clone() }),
        None => Ok(()),
    }
}

fn section<'t>(
    template: &'t Value,
    key: &str,
    part: &'static str,
) -> Result<&'t Map<String, Value>, JobConfigurationError> {
    match template.get(key) {
        Some(Value::Object(section)) => Ok(section),
        Some(other) => Err(JobConfigurationError::MalformedTemplate { part, found: kind_of(other) }),
        None => Err(JobConfigurationError::MalformedTemplate { part, found: "nothing" }),
    }
}

pub(super) fn schema_defaults(schema: &Map<String, Value>) -> Result<Map<String, Value>, JobConfigurationError> {
    let properties = match schema.get("properties") {
        None => return Ok(Map::new()),
        Some(Value::Object(properties)) => properties,
        Some(other) => {
            let part = "`variables.properties`";
            return Err(JobConfigurationError::MalformedTemplate { part, found: kind_of(other) });
        }
    };
    let defaults = properties.iter().filter_map(|(name, property)| {
        let default = property.get("default").filter(|default| !default.is_null())?;
        Some((name.clone(), default.clone()))
    });
    Ok(defaults.collect())
}

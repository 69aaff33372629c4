//! Where each value of a job configuration comes from.
//!
//! The rules of [`resolve`] are not written down a second time: what it made of the template is laid beside the template, and a
//! value that stands where a variable was is looked for at each level, the highest first.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use super::merge::expand_dotted;
use super::resolve::{job_configuration, schema_defaults};
use super::{JobConfigurationError, resolve};
use crate::template::{Mention, Reference, mentions, references, split_path, whole_value};

/// Who said a value, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The base job template, outside of its variables.
    Template,
    /// The default that the base job template gives a variable.
    PoolDefault,
    /// The deployment's job variables.
    Deployment,
    /// The flow run's job variables.
    FlowRun,
    /// A variable of the worker's environment, which may not be set.
    Environment(String),
    /// A block or variable of the API.
    Reference(Reference),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Template => f.write_str("base job template"),
            Self::PoolDefault => f.write_str("default of the pool"),
            Self::Deployment => f.write_str("job variables of the deployment"),
            Self::FlowRun => f.write_str("job variables of the run"),
            Self::Environment(name) => write!(f, "environment variable {name} of the worker"),
            Self::Reference(reference) => reference.fmt(f),
        }
    }
}

/// Where the values of a job configuration come from, by their paths in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(Vec<(Vec<String>, Vec<Origin>)>);

impl Sources {
    /// Where the value at a path comes from. Of a path into a value that came as a whole, that of the whole; of one with
    /// values below it, those of all of them; nothing for a path that there is not.
    pub fn of(&self, path: &[&str]) -> Vec<Origin> {
        let above = |found: &[String]| found.len() <= path.len() && found.iter().zip(path).all(|(a, b)| a == b);
        if let Some((_, origins)) = self.0.iter().rev().find(|(found, _)| above(found)) {
            return origins.clone();
        }
        let below = |found: &[String]| found.len() > path.len() && path.iter().zip(found).all(|(a, b)| a == b);
        let mut all = Vec::new();
        self.0.iter().filter(|(found, _)| below(found)).for_each(|(_, origins)| add(&mut all, origins.iter().cloned()));
        all
    }
}

/// Says where each value comes from that [`resolve`] makes of the same arguments.
///
/// # Errors
/// Those of [`resolve`].
pub fn sources(
    base_job_template: &Value,
    deployment_job_variables: &Map<String, Value>,
    flow_run_job_variables: &Map<String, Value>,
    own_variables: &[&str],
    worker_env: &BTreeMap<String, String>,
) -> Result<Sources, JobConfigurationError> {
    let (deployment, flow_run) = (deployment_job_variables, flow_run_job_variables);
    let draft = resolve(base_job_template, deployment, flow_run, own_variables, worker_env)?;
    let (configuration, properties) = job_configuration(base_job_template, own_variables)?;
    let levels = [
        (Origin::FlowRun, expand_dotted(flow_run.clone())?),
        (Origin::Deployment, expand_dotted(deployment.clone())?),
        (Origin::PoolDefault, schema_defaults(properties)?),
    ];
    let mut tracing = Tracing { levels, found: Sources::default() };
    tracing.trace(&[], Some(&Value::Object(configuration)), draft.filled());
    Ok(tracing.found)
}

struct Tracing {
    /// The variables of each level, the highest first.
    levels: [(Origin, Map<String, Value>); 3],
    found: Sources,
}

impl Tracing {
    fn trace(&mut self, path: &[String], template: Option<&Value>, filled: &Value) {
        match (template, filled) {
            (Some(Value::Object(template)), Value::Object(filled)) => {
                for (key, value) in filled {
                    let path = below(path, key);
                    // `env` is the one object whose entries are merged with those of its template.
                    match path.as_slice() {
                        [env, _] if env == "env" && self.level_of(&path, value).is_some() => {
                            self.leaves(&path, &path, value);
                        }
                        _ => self.trace(&path, template.get(key), value),
                    }
                }
            }
            (Some(Value::Array(template)), Value::Array(filled)) if template.len() == filled.len() => {
                for (place, (template, value)) in template.iter().zip(filled).enumerate() {
                    self.trace(&below(path, &place.to_string()), Some(template), value);
                }
            }
            (Some(Value::String(text)), filled) if path != ["env"] || !filled.is_object() => {
                if let Some(variable) = whole_value(text) {
                    self.leaves(path, &split_path(&variable), filled);
                } else {
                    let origins = self.of_text(text);
                    self.note(path, origins, filled);
                }
            }
            // An `env` is put together from the levels, whatever the template calls it.
            (Some(Value::String(_)) | None, filled) => self.leaves(path, path, filled),
            (Some(template), filled) => {
                let mut origins = vec![Origin::Template];
                self.of_parts(template, &mut origins);
                self.note(path, origins, filled);
            }
        }
    }

    /// A value that stands for a variable: each part of it may be from another level.
    fn leaves(&mut self, path: &[String], variable: &[String], filled: &Value) {
        let parts = filled.as_object().filter(|entries| !entries.is_empty() && !entries.contains_key("$ref"));
        if let Some(entries) = parts {
            for (key, value) in entries {
                self.leaves(&below(path, key), &below(variable, key), value);
            }
        } else {
            let origin = self.level_of(variable, filled).unwrap_or(Origin::Template);
            self.note(path, vec![origin], filled);
        }
    }

    /// The highest level that has exactly this value; else the highest that says anything about it, of whose value only a
    /// part is used.
    fn level_of(&self, variable: &[String], filled: &Value) -> Option<Origin> {
        let same = self.levels.iter().find(|(_, values)| get(values, variable) == Some(filled));
        let said = || self.levels.iter().find(|(_, values)| get(values, variable).is_some());
        same.or_else(said).map(|(origin, _)| origin.clone())
    }

    fn of_text(&self, text: &str) -> Vec<Origin> {
        let mut origins = vec![Origin::Template];
        for mention in mentions(text) {
            match mention {
                Mention::Environment(name) => add(&mut origins, [Origin::Environment(name)]),
                Mention::Value(variable) => {
                    let variable = split_path(&variable);
                    add(&mut origins, self.level_of(&variable, &Value::Null));
                    let values = self.levels.iter().find_map(|(_, values)| get(values, &variable));
                    add(&mut origins, values.into_iter().flat_map(of_references));
                }
            }
        }
        origins
    }

    fn of_parts(&self, template: &Value, origins: &mut Vec<Origin>) {
        match template {
            Value::String(text) => add(origins, self.of_text(text)),
            Value::Array(items) => items.iter().for_each(|item| self.of_parts(item, origins)),
            Value::Object(entries) => entries.values().for_each(|value| self.of_parts(value, origins)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn note(&mut self, path: &[String], mut origins: Vec<Origin>, filled: &Value) {
        add(&mut origins, of_references(filled));
        self.found.0.push((path.to_owned(), origins));
    }
}

/// What is still to be fetched for a value. It was looked for before, so there is no error left to find.
fn of_references(value: &Value) -> impl Iterator<Item = Origin> {
    references(value).unwrap_or_default().into_iter().map(Origin::Reference)
}

fn add(origins: &mut Vec<Origin>, more: impl IntoIterator<Item = Origin>) {
    for origin in more {
        if !origins.contains(&origin) {
            origins.push(origin);
        }
    }
}

fn below(path: &[String], key: &str) -> Vec<String> {
    path.iter().cloned().chain([key.to_owned()]).collect()
}

/// The value at a path, or as much of the way there as objects lead.
fn get<'v>(values: &'v Map<String, Value>, path: &[String]) -> Option<&'v Value> {
    let (first, rest) = path.split_first()?;
    let mut value = values.get(first)?;
    for part in rest {
        match value {
            Value::Object(object) => value = object.get(part)?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => break,
        }
    }
    Some(value)
}

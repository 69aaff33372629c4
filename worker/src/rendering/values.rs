//! The values of a job configuration and where they come from, without secrets.

use std::fmt::Display;

use infra_contract::masking;
use serde::Serialize;
use serde_json::Value;
use worker_core::job_configuration::{Origin, Sources};
use worker_core::spec::RunSpec;
use worker_core::template::Reference;

/// What stands in the place of a secret.
const MASK: &str = "***";
/// Where what the worker adds to every run comes from.
const WORKER: &str = "worker";

/// A value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Shown {
    /// Where it stands in the job configuration, with dots.
    pub(crate) path: String,
    /// The value, if it is no secret.
    pub(crate) value: Value,
    /// Who said it.
    pub(crate) from: Vec<String>,
}

/// All of them, in the order of their paths.
pub(super) fn of(spec: &RunSpec, sources: &Sources) -> Vec<Shown> {
    let mut values = Values { spec, sources, shown: Vec::new() };
    match &spec.command {
        Some(command) => values.add(&["command"], &Value::from(command.as_str()), "default of the kind"),
        None => values.show("command", Value::Null, vec!["default of the kind".to_owned()]),
    }
    values.add(&["name"], &Value::from(spec.name.as_str()), "name of the flow run");
    for (name, value) in &spec.env {
        let from_settings = spec.worker_settings.contains_key(name);
        let otherwise = if from_settings { "setting of the worker" } else { WORKER };
        let said = spec.configured_env.contains(name);
        let path: &[&str] = if said { &["env", name] } else { &[] };
        values.add_as(&format!("env.{name}"), path, &Value::from(value.as_str()), otherwise);
    }
    for entry in &spec.env_from {
        let name = entry.get("name").and_then(Value::as_str).unwrap_or_default();
        values.add_as(&format!("env.{name}"), &["env"], entry.get("valueFrom").unwrap_or(&Value::Null), WORKER);
    }
    for (label, value) in &spec.labels {
        values.add(&["labels", label], &Value::from(value.as_str()), WORKER);
    }
    for (field, value) in &spec.fields {
        values.add_parts(&[field], value);
    }
    values.shown.sort_by(|one, other| one.path.cmp(&other.path));
    values.shown
}

/// A value without the secrets of the run and the texts of its blocks.
pub(super) fn without_secrets(value: Value, spec: &RunSpec) -> Value {
    let of_environment =
        spec.env.iter().filter(|(name, value)| masking::is_secret(name, value)).map(|(_, value)| value);
    let secrets: Vec<&str> = of_environment.chain(&spec.block_texts).map(String::as_str).collect();
    without(value, &secrets)
}

fn without(value: Value, secrets: &[&str]) -> Value {
    match value {
        Value::String(text) => Value::String(masking::without(&text, secrets.iter().copied())),
        Value::Array(items) => items.into_iter().map(|item| without(item, secrets)).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, without(value, secrets))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

struct Values<'a> {
    spec: &'a RunSpec,
    sources: &'a Sources,
    shown: Vec<Shown>,
}

impl Values<'_> {
    /// Objects have a line for each value in them; lists have one.
    fn add_parts(&mut self, path: &[&str], value: &Value) {
        let parts = value.as_object().filter(|fields| !fields.is_empty() && !self.is_from_block(path));
        if let Some(fields) = parts {
            for (key, value) in fields {
                self.add_parts(&[path, &[key.as_str()]].concat(), value);
            }
        } else {
            self.add(path, value, WORKER);
        }
    }

    fn is_from_block(&self, path: &[&str]) -> bool {
        self.sources.of(path).iter().any(is_block)
    }

    fn add(&mut self, path: &[&str], value: &Value, otherwise: &str) {
        self.add_as(&path.join("."), path, value, otherwise);
    }

    /// A value with the sources of a path.
    fn add_as(&mut self, shown_as: &str, path: &[&str], value: &Value, otherwise: &str) {
        let origins = if path.is_empty() { Vec::new() } else { self.sources.of(path) };
        let name = shown_as.rsplit('.').next().unwrap_or_default();
        let is_secret = origins.iter().any(|origin| is_block(origin) || is_secret_variable(origin, value))
            || value.as_str().is_some_and(|text| masking::is_secret(name, text));
        let value = if is_secret { Value::from(MASK) } else { without_secrets(value.clone(), self.spec) };
        let from = if origins.is_empty() { vec![otherwise.to_owned()] } else { words(&origins) };
        self.show(shown_as, value, from);
    }

    fn show(&mut self, path: &str, value: Value, from: Vec<String>) {
        self.shown.push(Shown { path: path.to_owned(), value, from });
    }
}

/// That a template wraps what others say is of no interest beside what they say.
fn words(origins: &[Origin]) -> Vec<String> {
    let others: Vec<&dyn Display> =
        origins.iter().filter(|origin| **origin != Origin::Template).map(|origin| -> &dyn Display { origin }).collect();
    if others.is_empty() {
        return vec![Origin::Template.to_string()];
    }
    others.iter().map(ToString::to_string).collect()
}

const fn is_block(origin: &Origin) -> bool {
    matches!(origin, Origin::Reference(Reference::Block { .. } | Reference::BlockById(_)))
}

fn is_secret_variable(origin: &Origin, value: &Value) -> bool {
    matches!(origin, Origin::Environment(name) if masking::is_secret(name, value.as_str().unwrap_or_default()))
}

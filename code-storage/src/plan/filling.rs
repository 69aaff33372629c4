//! Filling in the placeholders of a step's inputs, in the SDK's order: outputs of earlier steps, blocks, variables, and
//! last the environment as plain names.
//!
//! The first pass leaves out what it does not know, so a plain name reaches the last one only from within a value that
//! was put in.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};
use worker_core::template::{Reference, Resolution, TemplateError, substitute};

use super::Upstream;

/// Blocks and variables; `None` for what the server does not have.
pub(crate) type Fetched = HashMap<Reference, Option<Value>>;

/// Why inputs could not be filled in while the steps ran.
#[derive(Debug)]
pub(crate) enum FillError {
    Template(TemplateError),
    /// An output holds the placeholder of a block or variable that no input mentions.
    FromOutput(Reference),
}

impl From<TemplateError> for FillError {
    fn from(error: TemplateError) -> Self {
        Self::Template(error)
    }
}

/// All passes.
pub(crate) fn fill(
    inputs: Map<String, Value>,
    upstream: &Upstream,
    fetched: &Fetched,
    environment: &BTreeMap<String, String>,
) -> Result<Map<String, Value>, FillError> {
    let mut resolution = Resolution::new(Value::Object(with_outputs(inputs, upstream, environment)?))?;
    while let Some(reference) = resolution.pending().first().cloned() {
        let Some(data) = fetched.get(&reference) else { return Err(FillError::FromOutput(reference)) };
        resolution.provide(&reference, data.clone())?;
    }
    Ok(with_environment(&resolution.finish()?, environment)?)
}

/// The first pass.
pub(super) fn with_outputs(
    inputs: Map<String, Value>,
    upstream: &Upstream,
    environment: &BTreeMap<String, String>,
) -> Result<Map<String, Value>, TemplateError> {
    Ok(object(substitute(&Value::Object(inputs), upstream.values(), environment)?))
}

/// The last pass.
pub(super) fn with_environment(
    inputs: &Value,
    environment: &BTreeMap<String, String>,
) -> Result<Map<String, Value>, TemplateError> {
    let values = environment.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect();
    Ok(object(substitute(inputs, &values, environment)?))
}

/// An object stays one: only a text can become something else.
fn object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

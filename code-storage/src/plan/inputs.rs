//! Reading the inputs of a step, which are anything the deployment's author wrote.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{EngineReason, StepAction};

/// The directories of the clones made so far, by the id of their step.
///
/// The output of `git_clone` is the name of its directory, which is known before it runs; the output of
/// `set_working_directory` is not, so placeholders for it are left to the SDK.
#[derive(Debug, Default)]
pub(super) struct CloneOutputs(BTreeMap<String, String>);

impl CloneOutputs {
    pub(super) fn record(&mut self, id: &str, action: &StepAction) {
        match action {
            StepAction::GitClone(clone) => self.0.insert(id.to_owned(), clone.directory_name.clone()),
            // A later step of the same id takes the name over.
            StepAction::SetWorkingDirectory(_) => self.0.remove(id),
        };
    }

    /// Puts the directories in the places of `{{ <id>.directory }}`.
    fn fill(&self, value: &Value) -> Value {
        let Value::String(text) = value else { return value.clone() };
        let filled = self.0.iter().fold(text.clone(), |text, (id, directory)| {
            text.replace(&format!("{{{{ {id}.directory }}}}"), directory)
                .replace(&format!("{{{{{id}.directory}}}}"), directory)
        });
        Value::String(filled)
    }
}

/// The inputs of one step. Empty values count as absent, as they do in the SDK.
#[derive(Debug)]
pub(super) struct StepInputs<'a> {
    step: &'a str,
    values: Map<String, Value>,
}

impl<'a> StepInputs<'a> {
    pub(super) fn new(step: &'a str, given: &Map<String, Value>, outputs: &CloneOutputs) -> Self {
        let values = given
            .iter()
            .filter(|(_, value)| !is_empty(value))
            .map(|(input, value)| (input.clone(), outputs.fill(value)))
            .collect();
        Self { step, values }
    }

    /// Checks that the step has literal values for these inputs and nothing else besides its `id`.
    pub(super) fn allow_only(&self, known: &[&str]) -> Result<(), EngineReason> {
        let step = || self.step.to_owned();
        for (input, value) in &self.values {
            match input.as_str() {
                "requires" => return Err(EngineReason::Requires { step: step() }),
                "access_token" | "credentials" if self.step == "git_clone" => {
                    return Err(EngineReason::Credentials { step: step() });
                }
                "id" => {}
                _ if known.contains(&input.as_str()) => {}
                _ => return Err(EngineReason::UnknownInput { step: step(), input: input.clone() }),
            }
            if has_placeholder(value) {
                return Err(EngineReason::Placeholder { step: step(), input: input.clone() });
            }
        }
        Ok(())
    }

    /// A text, if there is one.
    pub(super) fn text(&self, input: &str) -> Result<Option<&str>, EngineReason> {
        self.values.get(input).map(|value| self.as_text(input, value)).transpose()
    }

    /// A list of texts, empty if there is none.
    pub(super) fn texts(&self, input: &str) -> Result<Vec<String>, EngineReason> {
        match self.values.get(input) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => {
                values.iter().map(|value| self.as_text(input, value).map(str::to_owned)).collect()
            }
            Some(_) => Err(self.unusable(input, "is not a list")),
        }
    }

    /// A truth value, false if there is none.
    pub(super) fn flag(&self, input: &str) -> Result<bool, EngineReason> {
        match self.values.get(input) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.unusable(input, "is neither true nor false")),
        }
    }

    /// The reason to give up on this step because of one input.
    pub(super) fn unusable(&self, input: &str, problem: &'static str) -> EngineReason {
        EngineReason::Input { step: self.step.to_owned(), input: input.to_owned(), problem }
    }

    fn as_text<'v>(&self, input: &str, value: &'v Value) -> Result<&'v str, EngineReason> {
        match value.as_str() {
            Some(text) if !text.contains(char::is_control) => Ok(text),
            Some(_) => Err(self.unusable(input, "has control characters")),
            None => Err(self.unusable(input, "is not a text")),
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn has_placeholder(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("{{"),
        Value::Array(values) => values.iter().any(has_placeholder),
        Value::Object(entries) => entries.values().any(has_placeholder),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

//! A step as the deployment has it.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::EngineReason;
use super::kind::StepKind;

/// The inputs that are for the runner of the steps and not for the step.
const RESERVED: [&str; 2] = ["id", "requires"];

/// A step as the deployment has it, in the shape of the payload of a `prefect.flow-run.pull-step.executed` event.
///
/// An author may have written a secret into an input, so `Debug` prints none.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct StepRecord {
    /// Position in the deployment's list, from 0.
    pub index: usize,
    /// The importable name of the step's function.
    pub qualified_name: String,
    /// The last part of that name.
    pub step_name: String,
    /// The name by which later steps refer to its outputs.
    pub id: Option<String>,
    /// The inputs, with their placeholders.
    pub inputs: Map<String, Value>,
}

impl fmt::Debug for StepRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepRecord")
            .field("index", &self.index)
            .field("qualified_name", &self.qualified_name)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl StepRecord {
    /// Reads one entry of the list.
    pub(super) fn read(index: usize, step: &Map<String, Value>) -> Result<(Self, StepKind), EngineReason> {
        let mut entries = step.iter();
        let (Some((qualified_name, Value::Object(inputs))), None) = (entries.next(), entries.next()) else {
            return Err(EngineReason::Malformed);
        };
        let kind =
            StepKind::of(qualified_name).ok_or_else(|| EngineReason::UnknownStep { step: qualified_name.clone() })?;
        let step_name = kind.name().to_owned();
        let unusable = |problem| EngineReason::Input { step: step_name.clone(), input: "id".to_owned(), problem };
        let id = match inputs.get("id") {
            None | Some(Value::Null) => None,
            Some(Value::String(id)) if id.is_empty() => None,
            // The SDK would change to the directory of this name after the last step.
            Some(Value::String(id)) if id == "directory" => return Err(unusable("is the name of an output")),
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(unusable("is not a text")),
        };
        kind.check_requires(inputs.get("requires"))?;
        let record = Self { index, qualified_name: qualified_name.clone(), step_name, id, inputs: inputs.clone() };
        Ok((record, kind))
    }

    /// The inputs that the step's function gets.
    pub(crate) fn own_inputs(&self) -> Map<String, Value> {
        let own = self.inputs.iter().filter(|(input, _)| !RESERVED.contains(&input.as_str()));
        own.map(|(input, value)| (input.clone(), value.clone())).collect()
    }
}

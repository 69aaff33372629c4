//! What earlier steps have put out.

use serde_json::{Map, Value};

/// The outputs of earlier steps: under their own names, of which a later step takes over the name of an earlier one, and
/// under the step's id.
#[derive(Clone, Default)]
pub(crate) struct Upstream(Map<String, Value>);

impl Upstream {
    /// Takes a step's outputs. A name of an output that is an id as well is the output, as in the SDK.
    pub(crate) fn add(&mut self, id: Option<&str>, outputs: Map<String, Value>) {
        if let Some(id) = id {
            self.0.insert(id.to_owned(), Value::Object(outputs.clone()));
        }
        self.0.extend(outputs);
    }

    pub(crate) fn values(&self) -> &Map<String, Value> {
        &self.0
    }
}

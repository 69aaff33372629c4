//! The base job template of a kind.

use serde_json::Value;

/// The base job template that a new work pool of a kind gets: a JSON object with `job_configuration` and `variables`.
#[derive(Clone, Debug, PartialEq)]
pub struct JobTemplate(Value);

impl JobTemplate {
    /// Reads a template from its JSON text.
    ///
    /// # Errors
    /// The text is not JSON.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).map(Self)
    }

    /// A template that is a value already.
    pub const fn new(template: Value) -> Self {
        Self(template)
    }

    /// The template as it is sent to the API.
    pub const fn as_json(&self) -> &Value {
        &self.0
    }
}

//! Keeping secrets out of the log.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use serde_json::Value;
use worker_core::redaction::Redactor;

/// A shorter text stands in too many words to be masked: `true`, `main`, the name of a user.
const SHORTEST: usize = 8;

/// Texts that are not for the log. `Debug` is left out on purpose.
#[derive(Clone, Default)]
pub(crate) struct Secrets {
    texts: BTreeSet<String>,
    /// Made from all of them when the first text is masked.
    redactor: OnceLock<Redactor>,
}

impl Secrets {
    /// Adds every text in a value, and of a text of several lines every line: output is shown line by line.
    pub(crate) fn add(&mut self, value: &Value) {
        self.redactor.take();
        match value {
            Value::String(text) => {
                let lines = text.lines().map(str::trim).filter(|line| line.chars().count() >= SHORTEST);
                self.texts.extend(lines.map(str::to_owned));
            }
            Value::Array(values) => values.iter().for_each(|value| self.add(value)),
            Value::Object(entries) => entries.values().for_each(|value| self.add(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The text without secrets.
    pub(crate) fn mask(&self, text: &str) -> String {
        let made = || Redactor::new(self.texts.iter().map(String::as_str), SHORTEST);
        self.redactor.get_or_init(made).redact(text).into_owned()
    }
}

//! What a span is.

use std::time::SystemTime;

use crate::context::{SpanContext, SpanId};

/// Something that took time.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Which it is.
    pub context: SpanContext,
    /// The span that it is a part of.
    pub parent: Option<SpanId>,
    /// Whether that span was made by another process.
    pub has_remote_parent: bool,
    /// What it is: one of few words, never a name that somebody chose.
    pub name: &'static str,
    /// Its part in the work of several processes.
    pub kind: SpanKind,
    /// When it began.
    pub start: SystemTime,
    /// When it ended.
    pub end: SystemTime,
    /// What is known of it.
    pub attributes: Vec<(&'static str, Value)>,
    /// What happened meanwhile.
    pub events: Vec<SpanEvent>,
    /// How many events were left out.
    pub events_left_out: u32,
    /// What went wrong, if it did.
    pub error: Option<String>,
}

/// The part of a span in the work of several processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// It is a matter of this process.
    Internal,
    /// It deals with what another process put into a queue.
    Consumer,
}

/// Something that happened at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanEvent {
    /// When.
    pub at: SystemTime,
    /// What it is: one of few words.
    pub name: &'static str,
    /// What is known of it.
    pub attributes: Vec<(&'static str, Value)>,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// Yes or no.
    Bool(bool),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl Span {
    /// Takes what must not be told out of every text that somebody else may have written.
    pub(crate) fn redact(&mut self, redact: &dyn Fn(String) -> String) {
        let redacted = |attributes: &mut Vec<(&'static str, Value)>| {
            for (_, value) in attributes {
                if let Value::Text(text) = value {
                    *text = redact(std::mem::take(text));
                }
            }
        };
        redacted(&mut self.attributes);
        self.events.iter_mut().for_each(|event| redacted(&mut event.attributes));
        self.error = self.error.take().map(redact);
    }
}

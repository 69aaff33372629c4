//! A value as a source holds it, before its setting says what it means.

use config::{Value, ValueKind};

/// A value as found in a source. Holds secrets, hence no `Debug`.
#[derive(Clone, PartialEq)]
pub(crate) enum Raw {
    Text(String),
    Bool(bool),
    Int(i64),
    Float(f64),
    List(Vec<Self>),
}

impl Raw {
    /// The value as one text: what a variable holding it would contain.
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => crate::python_text::float(value),
            Self::List(items) => items.into_iter().map(Self::into_text).collect::<Vec<_>>().join(","),
        }
    }
}

impl From<Raw> for ValueKind {
    fn from(raw: Raw) -> Self {
        match raw {
            Raw::Text(text) => Self::String(text),
            Raw::Bool(value) => Self::Boolean(value),
            Raw::Int(value) => Self::I64(value),
            Raw::Float(value) => Self::Float(value),
            Raw::List(items) => Self::Array(items.into_iter().map(|item| Value::new(None, item)).collect()),
        }
    }
}

impl From<ValueKind> for Raw {
    fn from(kind: ValueKind) -> Self {
        match kind {
            ValueKind::String(text) => Self::Text(text),
            ValueKind::Boolean(value) => Self::Bool(value),
            ValueKind::I64(value) => Self::Int(value),
            ValueKind::Float(value) => Self::Float(value),
            ValueKind::Array(items) => Self::List(items.into_iter().map(|item| Self::from(item.kind)).collect()),
            // The layers of this crate hold none of these.
            other @ (ValueKind::Nil
            | ValueKind::I128(_)
            | ValueKind::U64(_)
            | ValueKind::U128(_)
            | ValueKind::Table(_)) => Self::Text(other.to_string()),
        }
    }
}

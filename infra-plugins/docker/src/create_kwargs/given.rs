//! The value of a keyword argument, and how it is read.

use std::collections::HashMap;
use std::str::FromStr;

use serde_json::{Map, Number, Value};
use worker_core::job_configuration::lenient::kind_of;

use super::{KwargError, memory::bytes_of};

/// A value and the dotted path to it, which errors name.
pub(super) struct Given<'v> {
    pub(super) key: String,
    pub(super) value: &'v Value,
}

impl<'v> Given<'v> {
    pub(super) const fn new(key: String, value: &'v Value) -> Self {
        Self { key, value }
    }

    /// The value is of the wrong kind.
    pub(super) fn wrong(&self, expected: &str) -> KwargError {
        KwargError::Wrong { key: self.key.clone(), expected: expected.to_owned(), found: kind_of(self.value) }
    }

    /// The value may be of a right kind, but it does not say what it should.
    pub(super) fn malformed(&self, expected: &str) -> KwargError {
        let found = match self.value {
            Value::String(_) => "another string",
            Value::Number(_) => "another number",
            other @ (Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => kind_of(other),
        };
        KwargError::Wrong { key: self.key.clone(), expected: expected.to_owned(), found }
    }

    pub(super) fn str(&self) -> Result<&'v str, KwargError> {
        self.value.as_str().ok_or_else(|| self.wrong("a string"))
    }

    pub(super) fn text(&self) -> Result<String, KwargError> {
        self.str().map(str::to_owned)
    }

    pub(super) fn text_or_number(&self) -> Result<String, KwargError> {
        match self.value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                Err(self.wrong("a string or a number"))
            }
        }
    }

    pub(super) fn flag(&self) -> Result<bool, KwargError> {
        let flag = match self.value {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) => text.to_ascii_lowercase().parse().ok(),
            Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
        };
        flag.ok_or_else(|| self.malformed("a boolean (true or false)"))
    }

    /// A whole number of the type that the engine has for it; text of one will do.
    pub(super) fn whole<T: TryFrom<i64>>(&self) -> Result<T, KwargError> {
        let number = match self.value {
            Value::Number(number) => number.as_i64().or_else(|| without_fraction(number)),
            Value::String(text) => text.trim().parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        number.and_then(|number| number.try_into().ok()).ok_or_else(|| self.malformed("a whole number within bounds"))
    }

    pub(super) fn bytes(&self) -> Result<i64, KwargError> {
        bytes_of(self.value).ok_or_else(|| self.malformed("a number of bytes such as 67108864, 64m or 1g"))
    }

    /// One of the engine's named choices.
    pub(super) fn choice<T: FromStr>(&self, expected: &str) -> Result<T, KwargError> {
        self.value.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| self.malformed(expected))
    }

    pub(super) fn items(&self) -> Result<Vec<Self>, KwargError> {
        let Value::Array(items) = self.value else { return Err(self.wrong("a list")) };
        Ok(items.iter().enumerate().map(|(index, item)| Self::new(format!("{}[{index}]", self.key), item)).collect())
    }

    /// What `read` makes of each item of a list.
    pub(super) fn each<T>(&self, read: impl Fn(&Self) -> Result<T, KwargError>) -> Result<Vec<T>, KwargError> {
        self.items()?.iter().map(read).collect()
    }

    pub(super) fn texts(&self) -> Result<Vec<String>, KwargError> {
        self.each(Self::text)
    }

    pub(super) fn text_or_texts(&self) -> Result<Vec<String>, KwargError> {
        match self.value {
            Value::String(text) => Ok(vec![text.clone()]),
            Value::Array(_) => self.texts(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
                Err(self.wrong("a string or a list of strings"))
            }
        }
    }

    pub(super) fn object(&self) -> Result<&'v Map<String, Value>, KwargError> {
        self.value.as_object().ok_or_else(|| self.wrong("an object"))
    }

    pub(super) fn entries(&self) -> Result<Vec<(&'v str, Self)>, KwargError> {
        let entry = |(name, value)| -> (&'v str, Self) {
            let name: &'v String = name;
            (name, Self::new(format!("{}.{name}", self.key), value))
        };
        Ok(self.object()?.iter().map(entry).collect())
    }

    /// An object whose values are made text, as the engine wants settings of drivers and of the kernel.
    pub(super) fn text_map(&self) -> Result<HashMap<String, String>, KwargError> {
        self.entries()?.into_iter().map(|(name, value)| Ok((name.to_owned(), value.setting()?))).collect()
    }

    fn setting(&self) -> Result<String, KwargError> {
        self.value.as_bool().map_or_else(|| self.text_or_number(), |flag| Ok(flag.to_string()))
    }
}

/// Through text, since Rust has no checked conversion from a float.
fn without_fraction(number: &Number) -> Option<i64> {
    number.as_f64()?.to_string().parse().ok()
}

//! Reading the inputs of a step, which are anything the deployment's author wrote.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::objects::Unreadable;

/// What is wrong with an input. Completes "the input … of the step …" and never repeats a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InputError {
    pub(crate) input: String,
    pub(crate) problem: &'static str,
}

impl InputError {
    pub(crate) fn new(input: &str, problem: &'static str) -> Self {
        Self { input: input.to_owned(), problem }
    }
}

/// Why a step does not do what its inputs say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum InputProblem {
    Input(InputError),
    Store(Unreadable),
}

impl From<InputError> for InputProblem {
    fn from(error: InputError) -> Self {
        Self::Input(error)
    }
}

impl From<Unreadable> for InputProblem {
    fn from(reason: Unreadable) -> Self {
        Self::Store(reason)
    }
}

/// The inputs of one step, filled in.
#[derive(Clone, Copy)]
pub(super) struct StepInputs<'a>(pub(super) &'a Map<String, Value>);

impl<'a> StepInputs<'a> {
    /// A text, if there is one: null counts as none.
    pub(super) fn text(self, input: &str) -> Result<Option<&'a str>, InputError> {
        match self.0.get(input) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.contains('\0') => Err(InputError::new(input, "has control characters")),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(InputError::new(input, "is not a text")),
        }
    }

    /// A text that has to be there.
    pub(super) fn required_text(self, input: &str) -> Result<&'a str, InputError> {
        self.text(input)?.ok_or_else(|| InputError::new(input, "is missing"))
    }

    /// A text of one line, if there is one: an empty one counts as none.
    pub(super) fn word(self, input: &str) -> Result<Option<&'a str>, InputError> {
        self.text(input)?.filter(|text| !text.is_empty()).map(|text| one_line(input, text)).transpose()
    }

    /// The path of a directory, if there is one. No directory has an empty path.
    pub(super) fn directory(self, input: &str) -> Result<Option<&'a str>, InputError> {
        match self.text(input)? {
            Some("") => Err(InputError::new(input, "is empty")),
            directory => Ok(directory),
        }
    }

    /// A list of texts of one line, empty if there is none.
    pub(super) fn words(self, input: &str) -> Result<Vec<String>, InputError> {
        let as_word = |value: &Value| {
            let text = value.as_str().ok_or_else(|| InputError::new(input, "is not a list of texts"))?;
            one_line(input, text).map(str::to_owned)
        };
        match self.0.get(input) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::String(text)) if text.is_empty() => Ok(Vec::new()),
            Some(Value::Array(values)) => values.iter().map(as_word).collect(),
            Some(_) => Err(InputError::new(input, "is not a list")),
        }
    }

    /// A truth value; null is false, as in the SDK.
    pub(super) fn flag(self, input: &str, if_absent: bool) -> Result<bool, InputError> {
        match self.0.get(input) {
            None => Ok(if_absent),
            Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(InputError::new(input, "is neither true nor false")),
        }
    }

    /// An object, empty if there is none.
    pub(super) fn object(self, input: &str) -> Result<Map<String, Value>, InputError> {
        match self.0.get(input) {
            None | Some(Value::Null) => Ok(Map::new()),
            Some(Value::Object(object)) => Ok(object.clone()),
            Some(_) => Err(InputError::new(input, "is not an object")),
        }
    }

    /// Variables of an environment, none if there are none.
    pub(super) fn environment(self, input: &str) -> Result<BTreeMap<String, String>, InputError> {
        let variable = |(name, value): (String, Value)| {
            let value = value.as_str().filter(|value| !value.contains('\0') && is_variable_name(&name));
            let value =
                value.ok_or_else(|| InputError::new(input, "has a variable that an environment cannot have"))?;
            Ok((name, value.to_owned()))
        };
        self.object(input)?.into_iter().map(variable).collect()
    }
}

fn one_line<'t>(input: &str, text: &'t str) -> Result<&'t str, InputError> {
    if text.contains(char::is_control) { Err(InputError::new(input, "has control characters")) } else { Ok(text) }
}

fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

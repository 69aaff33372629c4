//! Reading maps that anybody wrote: every key must be known, or what it asks for would be left out silently.

use std::collections::BTreeSet;

use secrecy::SecretString;
use serde_json::{Map, Value};

use super::Unreadable;

/// A map and which of its keys were asked for. Nulls count as absent, as for the SDK's optional fields.
#[derive(Debug)]
pub(super) struct Given<'a> {
    map: &'a Map<String, Value>,
    read: BTreeSet<&'static str>,
}

impl<'a> Given<'a> {
    pub(super) fn new(map: &'a Map<String, Value>) -> Self {
        Self { map, read: BTreeSet::new() }
    }

    /// The value of a key.
    pub(super) fn value(&mut self, key: &'static str) -> Option<&'a Value> {
        self.read.insert(key);
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Whether the key is there, be it with null.
    pub(super) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    pub(super) fn text(&mut self, key: &'static str) -> Result<Option<&'a str>, Unreadable> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) if text.contains("{{") => Err(Unreadable("an input has a placeholder")),
            Some(Value::String(text)) if text.contains('\0') => Err(Unreadable("an input has a null character")),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Unreadable("an input that should be a text is none")),
        }
    }

    /// A text; an empty one counts as absent.
    pub(super) fn filled(&mut self, key: &'static str) -> Result<Option<&'a str>, Unreadable> {
        Ok(self.text(key)?.filter(|text| !text.is_empty()))
    }

    pub(super) fn owned(&mut self, key: &'static str) -> Result<Option<String>, Unreadable> {
        Ok(self.filled(key)?.map(str::to_owned))
    }

    pub(super) fn secret(&mut self, key: &'static str) -> Result<Option<SecretString>, Unreadable> {
        Ok(self.filled(key)?.map(SecretString::from))
    }

    pub(super) fn required(&mut self, key: &'static str) -> Result<String, Unreadable> {
        self.owned(key)?.ok_or(Unreadable("an input that it needs is missing"))
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Result<Option<bool>, Unreadable> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(Unreadable("an input that should be true or false is neither")),
        }
    }

    pub(super) fn map(&mut self, key: &'static str) -> Result<Option<&'a Map<String, Value>>, Unreadable> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(_) => Err(Unreadable("an input that should be an object is none")),
        }
    }

    /// Keys that change nothing about what is fetched.
    pub(super) fn ignore(&mut self, keys: &[&'static str]) {
        self.read.extend(keys);
    }

    /// Says no if there is a key that nobody asked for.
    pub(super) fn finish(self) -> Result<(), Unreadable> {
        let unknown = self.map.iter().any(|(key, value)| !value.is_null() && !self.read.contains(key.as_str()));
        if unknown { Err(Unreadable("it has an input that this worker does not know")) } else { Ok(()) }
    }
}

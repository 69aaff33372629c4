//! What is read and what is left to the SDK.

mod blocks;
mod steps;
mod urls;

use serde_json::{Map, Value};

pub(super) fn map(value: &Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

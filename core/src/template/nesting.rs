//! A bound on nesting, so that no value from outside can exhaust the stack of the recursive passes.

use serde_json::Value;

/// How deep objects and arrays may nest in a template, in a value put into it, and in the result of each pass.
pub const MAX_DEPTH: usize = 128;

/// Whether a value nests at most [`MAX_DEPTH`] levels. Not recursive itself.
pub(crate) fn within_bound(value: &Value) -> bool {
    let mut open = vec![(value, 0)];
    while let Some((value, depth)) = open.pop() {
        if depth > MAX_DEPTH {
            return false;
        }
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(object) => open.extend(object.values().map(|item| (item, depth + 1))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    true
}

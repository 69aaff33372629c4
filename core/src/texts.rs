//! The texts in a JSON value.

use std::collections::BTreeSet;

use serde_json::Value;

/// Adds every text in `value` to `into`, at whatever depth. Empty ones are left out: they are found in everything. Names of
/// fields are no texts.
pub fn collect_texts<'v>(value: &'v Value, into: &mut BTreeSet<&'v str>) {
    match value {
        Value::String(text) if !text.is_empty() => drop(into.insert(text)),
        Value::Array(items) => items.iter().for_each(|item| collect_texts(item, into)),
        Value::Object(fields) => fields.values().for_each(|value| collect_texts(value, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_found_at_every_depth_without_names_and_empty_ones() {
        let value = json!({"name": ["a", {"other": "b", "empty": ""}, 1, null, true], "again": "a"});
        let mut texts = BTreeSet::new();
        collect_texts(&value, &mut texts);
        assert_eq!(texts, BTreeSet::from(["a", "b"]));
    }
}

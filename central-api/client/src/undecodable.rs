//! Lists of which single rows cannot be read: the others must not be lost with them.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Rows remembered; past it the memory starts again, at the price of a repeated warning.
const MOST_REMEMBERED: usize = 1000;

/// Which rows have been complained of, so that a poll that returns the same odd run for ever warns once.
#[derive(Default)]
pub(crate) struct Complaints(Mutex<HashSet<String>>);

impl Complaints {
    fn is_new(&self, row: String) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_REMEMBERED {
            known.clear();
        }
        known.insert(row)
    }
}

/// The rows of a JSON array that can be read.
///
/// # Errors
///
/// When the body is no JSON array.
pub(crate) fn readable_rows<T: DeserializeOwned>(
    call: &'static str,
    body: &[u8],
    complaints: &Complaints,
) -> Result<Vec<T>, serde_json::Error> {
    // Almost always all can be: looked at one by one they cost twice as much.
    if let Ok(rows) = serde_json::from_slice(body) {
        return Ok(rows);
    }
    let rows: Vec<Value> = serde_json::from_slice(body)?;
    let mut readable = Vec::with_capacity(rows.len());
    for row in rows {
        let id = row.pointer("/flow_run/id").or_else(|| row.get("id")).map(Value::to_string).unwrap_or_default();
        match serde_json::from_value(row) {
            Ok(row) => readable.push(row),
            // The error's text may quote a value, and a value may be a secret.
            Err(_) if complaints.is_new(format!("{call} {id}")) => {
                tracing::warn!(call, id, "a row of the API's answer has an unknown shape and is left out");
            }
            Err(_) => {}
        }
    }
    Ok(readable)
}

#[cfg(test)]
mod tests {
    use central_api_wire::flow_run::Flow;

    use super::*;

    #[test]
    fn one_odd_row_does_not_cost_the_others() {
        let body = br#"[{"id":"6f8b0000-0000-0000-0000-000000000001","name":"a"},{"id":7},
            {"id":"6f8b0000-0000-0000-0000-000000000002","name":"b"}]"#;
        let complaints = Complaints::default();
        let rows: Vec<Flow> = readable_rows("flows", body, &complaints).unwrap();
        assert_eq!(rows.iter().map(|flow| flow.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(!complaints.is_new("flows 7".to_owned()), "it has been complained of");
        assert!(readable_rows::<Flow>("flows", b"<html>", &complaints).is_err());
    }
}

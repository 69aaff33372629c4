//! What an error answer says, in few words.

use serde_json::Value;

const LONGEST_DETAIL: usize = 500;

/// The API's own words in the body of an error, or none if the body is not one of the API's: then some proxy spoke.
///
/// Of validation errors only place and message are taken. The API repeats the refused input beside them, and that may
/// hold secrets.
pub(crate) fn detail(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let parts = [body.get("exception_message"), body.get("exception_detail"), body.get("detail")];
    let words: Vec<String> = parts.into_iter().flatten().filter_map(words).collect();
    if words.is_empty() { None } else { Some(shortened(&words.join("; "))) }
}

fn words(part: &Value) -> Option<String> {
    match part {
        Value::String(text) => Some(text.clone()),
        Value::Array(errors) => Some(errors.iter().filter_map(validation_error).collect::<Vec<_>>().join("; ")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

fn validation_error(error: &Value) -> Option<String> {
    let message = error.get("msg")?.as_str()?;
    let place: Vec<String> = error.get("loc").and_then(Value::as_array).into_iter().flatten().map(step).collect();
    Some(format!("{}: {message}", place.join(".")))
}

fn step(step: &Value) -> String {
    step.as_str().map_or_else(|| step.to_string(), str::to_owned)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_DETAIL) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_layers_of_the_api_are_understood() {
        assert_eq!(detail(br#"{"detail":"Flow run not found"}"#).unwrap(), "Flow run not found");
        assert_eq!(detail(br#"{"exception_message":"Unauthorized"}"#).unwrap(), "Unauthorized");
    }

    #[test]
    fn refused_input_is_not_repeated() {
        let body = br#"{"exception_message":"Invalid request received.","exception_detail":[
            {"type":"extra_forbidden","loc":["body",0,"worker_id"],"msg":"Extra inputs are not permitted","input":"s3cret"}],
            "request_body":[{"worker_id":"s3cret"}]}"#;
        assert_eq!(
            detail(body).unwrap(),
            "Invalid request received.; body.0.worker_id: Extra inputs are not permitted"
        );
    }

    #[test]
    fn what_the_api_did_not_write_is_not_taken_for_its_words() {
        for body in [&b"<html>404</html>"[..], b"", b"null", b"\"no\"", br#"{"message":"no Route matched"}"#] {
            assert_eq!(detail(body), None);
        }
    }

    #[test]
    fn long_words_are_shortened_between_characters() {
        let body = serde_json::json!({ "detail": "é".repeat(2000) }).to_string();
        assert_eq!(detail(body.as_bytes()).unwrap().chars().count(), LONGEST_DETAIL + 3);
    }
}

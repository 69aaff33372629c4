//! One log line as JSON, cut to size.

use central_api_wire::log::LogLine;

const CUT: &str = "... [truncated]";

/// The line as JSON of at most `longest` bytes: the message is cut between characters and says so. What surrounds the
/// message is never cut.
pub(super) fn encode(mut line: LogLine, longest: usize) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string(&line)?;
    if json.len() <= longest {
        return Ok(json);
    }
    let message_bytes: usize = line.message.chars().map(encoded_len).sum();
    let around = json.len().saturating_sub(message_bytes);
    let mut room = longest.saturating_sub(around).saturating_sub(CUT.len());
    let kept = line.message.char_indices().find_map(|(at, character)| match room.checked_sub(encoded_len(character)) {
        Some(left) => {
            room = left;
            None
        }
        None => Some(at),
    });
    line.message.truncate(kept.unwrap_or(line.message.len()));
    line.message.push_str(CUT);
    serde_json::to_string(&line)
}

/// Bytes of a character within a JSON text.
const fn encoded_len(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        other => other.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use worker_core::ids::{RunId, WorkerId};

    use super::*;

    fn line(message: &str) -> LogLine {
        LogLine {
            name: "prefect.flow_runs.worker".to_owned(),
            level: 20,
            message: message.to_owned(),
            timestamp: Timestamp::UNIX_EPOCH,
            flow_run_id: Some(RunId(uuid::Uuid::nil())),
            worker_id: None,
        }
    }

    #[test]
    fn c065_a_line_names_its_run_and_no_worker() {
        let json = encode(line("hello"), 1000).unwrap();
        assert_eq!(
            json,
            r#"{"name":"prefect.flow_runs.worker","level":20,"message":"hello","timestamp":"1970-01-01T00:00:00Z","flow_run_id":"00000000-0000-0000-0000-000000000000"}"#
        );
        let cloud = LogLine { worker_id: Some(WorkerId(uuid::Uuid::nil())), ..line("x") };
        assert!(encode(cloud, 1000).unwrap().contains("worker_id"));
    }

    #[test]
    fn a_long_message_is_cut_to_the_byte_and_says_so() {
        let around = encode(line(""), 1000).unwrap().len();
        for text in ["a", "é", "\"", "\u{1}", "a\n€\\"] {
            let json = encode(line(&text.repeat(500)), 400).unwrap();
            assert!((400 - 6 + 1..=400).contains(&json.len()), "{text:?}: {}", json.len());
            let message = serde_json::from_str::<LogLine>(&json).unwrap().message;
            assert!(message.ends_with("... [truncated]"));
            assert!(message.starts_with(text));
        }
        assert_eq!(encode(line(&"a".repeat(500)), 10).unwrap().len(), around + CUT.len(), "only the message is cut");
    }
}

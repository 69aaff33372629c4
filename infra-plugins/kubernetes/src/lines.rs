//! Splitting what a container writes into lines with times. Pure.

use jiff::Timestamp;

/// A longer line is handed on in pieces.
const LONGEST_LINE: usize = 64 * 1024;

/// How a node answers in the place of a log that it does not have (any more).
const NO_LOG: [&str; 3] = [
    "failed to try resolving symlinks in path ",
    "unable to retrieve container logs for ",
    "Error: No such container: ",
];

/// A line, or a piece of a long one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) written: Option<Timestamp>,
    pub(crate) text: String,
}

/// Puts lines together from the pieces in which they come.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    rest: Vec<u8>,
    /// The rest belongs to a line of which a piece was handed on.
    is_continued: bool,
}

impl Lines {
    /// The lines that are complete with this.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.rest.len() >= LONGEST_LINE {
                lines.extend(self.last());
                self.is_continued = !piece.ends_with(b"\n");
            }
        }
        lines
    }

    /// What came last without an end.
    pub(crate) fn last(&mut self) -> Option<Line> {
        if self.rest.is_empty() {
            return None;
        }
        let text = String::from_utf8_lossy(&self.rest);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let line = if std::mem::take(&mut self.is_continued) {
            Some(Line { written: None, text: text.to_owned() })
        } else {
            timed(text)
        };
        self.rest.clear();
        line
    }
}

/// All lines of a text.
pub(crate) fn of_text(text: &str) -> Vec<Line> {
    let mut lines = Lines::default();
    let mut found = lines.take(text.as_bytes());
    found.extend(lines.last());
    found
}

/// Takes off the time that the API server puts before each line. What a node says itself has none, and is no output.
fn timed(text: &str) -> Option<Line> {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    match first.parse::<Timestamp>() {
        Ok(written) => Some(Line { written: Some(written), text: rest.to_owned() }),
        Err(_) if NO_LOG.iter().any(|words| text.starts_with(words)) => None,
        Err(_) => Some(Line { written: None, text: text.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_in_pieces_and_with_their_times() {
        let mut lines = Lines::default();
        assert!(lines.take(b"2026-11-26T01:02:03.5Z he").is_empty());
        let found = lines.take(b"llo world\n2026-11-26T01:02:04Z \nplain");
        let at = |text: &str| Some(text.parse().unwrap());
        assert_eq!(
            found,
            [
                Line { written: at("2026-11-26T01:02:03.5Z"), text: "hello world".to_owned() },
                Line { written: at("2026-11-26T01:02:04Z"), text: String::new() },
            ]
        );
        assert_eq!(lines.last(), Some(Line { written: None, text: "plain".to_owned() }));
        assert_eq!(lines.last(), None);
    }

    #[test]
    fn what_a_node_says_of_a_log_that_is_gone_is_no_output() {
        let gone =
            "failed to try resolving symlinks in path \"/var/log/pods/x/0.log\": lstat: no such file or directory";
        assert_eq!(of_text(gone), []);
        assert_eq!(of_text(&format!("2026-11-26T01:02:03Z {gone}\n")).len(), 1, "a flow may say so");
    }

    #[test]
    fn a_line_without_end_does_not_fill_the_memory() {
        let mut lines = Lines::default();
        let piece = [b"2026-11-26T01:02:03Z ".as_slice(), &vec![b'x'; LONGEST_LINE]].concat();
        let first = lines.take(&piece);
        assert_eq!(first.len(), 1);
        assert!(first[0].written.is_some());
        let rest = lines.take(b"y\n2026-11-26T01:02:04Z next\n");
        assert_eq!(rest[0], Line { written: None, text: "y".to_owned() });
        assert_eq!(rest[1].text, "next");
    }
}

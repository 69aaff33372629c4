//! Cutting a stream of bytes into text at the ends of lines.

/// A line longer than this is cut: it must not be kept for ever.
const LONGEST_LINE: usize = 16 * 1024;

/// Collects bytes and gives them back as text, in whole lines where possible.
#[derive(Debug, Default)]
pub(crate) struct LineCutter(Vec<u8>);

impl LineCutter {
    /// Takes bytes; the complete lines so far, if any.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Option<String> {
        self.0.extend_from_slice(bytes);
        let complete = self.0.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        if complete == 0 && self.0.len() > LONGEST_LINE { self.flush() } else { self.take(complete) }
    }

    /// The unfinished line, but for a character of which only a part has come.
    pub(crate) fn flush(&mut self) -> Option<String> {
        let complete = self.0.len() - unfinished_character(&self.0);
        self.take(complete)
    }

    /// Everything there is, at the end of the stream.
    pub(crate) fn finish(&mut self) -> Option<String> {
        self.take(self.0.len())
    }

    /// How many bytes wait for the end of their line.
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, count: usize) -> Option<String> {
        let taken: Vec<u8> = self.0.drain(..count).collect();
        if self.0.is_empty() {
            // Otherwise each run would keep room for the most that it ever wrote at once.
            self.0 = Vec::new();
        }
        (!taken.is_empty()).then(|| String::from_utf8_lossy(&taken).into_owned())
    }
}

/// How many bytes at the end are the beginning of a UTF-8 character.
fn unfinished_character(bytes: &[u8]) -> usize {
    let length_of = |lead: u8| match lead {
        0b1100_0000..=0b1101_1111 => 2,
        0b1110_0000..=0b1110_1111 => 3,
        0b1111_0000..=0b1111_0111 => 4,
        _ => 1,
    };
    let lead = bytes.iter().rev().take(4).position(|byte| *byte & 0b1100_0000 != 0b1000_0000);
    let Some(after_lead) = lead else { return 0 };
    let tail = after_lead + 1;
    let complete = bytes.iter().rev().nth(after_lead).is_none_or(|lead| length_of(*lead) <= tail);
    if complete { 0 } else { tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_and_the_rest_waits() {
        let mut cutter = LineCutter::default();
        assert_eq!(cutter.push(b"one\ntwo\nthr").as_deref(), Some("one\ntwo\n"));
        assert_eq!(cutter.push(b"ee"), None);
        assert_eq!(cutter.push(b"\n").as_deref(), Some("three\n"));
        assert!(cutter.is_empty());
        assert_eq!(cutter.0.capacity(), 0, "room is kept for what was written");
    }

    #[test]
    fn a_line_without_end_is_cut_between_characters() {
        let mut cutter = LineCutter::default();
        let mut bytes = vec![b'x'; LONGEST_LINE];
        bytes.extend("€".as_bytes().iter().take(2));
        assert_eq!(cutter.push(&bytes).map(|text| text.len()), Some(LONGEST_LINE));
        assert_eq!(cutter.flush(), None);
        assert_eq!(cutter.push(&[0xAC, b'\n']).as_deref(), Some("€\n"));
    }

    #[test]
    fn what_is_not_text_is_replaced_and_never_held_back() {
        let mut cutter = LineCutter::default();
        cutter.push(&[b'a', 0xFF]);
        assert_eq!(cutter.flush().as_deref(), Some("a\u{FFFD}"));
        cutter.push(&[0xE2]);
        assert_eq!(cutter.finish().as_deref(), Some("\u{FFFD}"));
    }
}

//! The end of a run's standard error, kept to say why it ended.

use std::collections::VecDeque;

/// How much is kept.
const LIMIT: usize = 16 * 1024;

/// The last bytes written to standard error, a bounded number.
#[derive(Debug, Default)]
pub(crate) struct StderrTail(VecDeque<u8>);

impl StderrTail {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        let excess = self.0.len().saturating_sub(LIMIT);
        self.0.drain(..excess);
    }

    pub(crate) fn text(&self) -> String {
        let (front, back) = self.0.as_slices();
        String::from_utf8_lossy(&[front, back].concat()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_is_kept() {
        let mut tail = StderrTail::default();
        tail.push(&vec![b'a'; LIMIT]);
        tail.push(b"the end");
        assert_eq!(tail.text().len(), LIMIT);
        assert!(tail.text().ends_with("athe end"));
    }
}

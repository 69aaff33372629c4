//! A text in pieces.

use super::{MASK, Redactor, joined};

/// Redacts a text that comes in pieces, which may be cut anywhere, also within a character.
#[derive(Debug)]
pub struct Stream<'r> {
    redactor: &'r Redactor,
    /// The end of what came, in which a secret may have begun: shorter than the longest form.
    held: Vec<u8>,
    /// So many bytes at the beginning of `held` belong to a secret whose mask was given out already.
    covered: usize,
}

impl<'r> Stream<'r> {
    pub(super) const fn new(redactor: &'r Redactor) -> Self {
        Self { redactor, held: Vec::new(), covered: 0 }
    }

    /// Takes a piece and gives what is certain by now.
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(piece);
        let may_begin = self.redactor.longest.saturating_sub(1);
        self.give(self.held.len().saturating_sub(may_begin))
    }

    /// How many bytes are held back.
    #[cfg(test)]
    pub(super) const fn held(&self) -> usize {
        self.held.len()
    }

    /// Gives the rest. Nothing more comes.
    pub fn finish(mut self) -> Vec<u8> {
        self.give(self.held.len())
    }

    /// Gives what is before `end`, behind which a secret may lie that has not come as a whole.
    fn give(&mut self, end: usize) -> Vec<u8> {
        let mut secrets = self.redactor.find(&self.held);
        if self.covered > 0 {
            secrets.insert(0, 0..self.covered);
            secrets = joined(secrets);
        }
        let mut given = Vec::with_capacity(end);
        let mut at = 0;
        let mut covered = self.covered.saturating_sub(end);
        for secret in secrets.into_iter().take_while(|secret| secret.start < end) {
            given.extend_from_slice(self.held.get(at..secret.start).unwrap_or_default());
            if secret.start > 0 || self.covered == 0 {
                given.extend_from_slice(MASK.as_bytes());
            }
            at = secret.end.min(end);
            covered = secret.end.saturating_sub(end);
        }
        given.extend_from_slice(self.held.get(at..end).unwrap_or_default());
        self.held.drain(..end);
        self.covered = covered;
        given
    }
}

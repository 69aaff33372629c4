//! What has been said with the engine. Knows neither clock nor socket: both are handed in.

use std::io;
use std::time::{Duration, Instant};

use worker_core::exit::Conclusion;

use super::frame::{self, Frame, FrameCutter};
use crate::orders::Announced;

/// How long an engine may take to acknowledge an intent.
pub(crate) const ACKNOWLEDGEMENT_LIMIT: Duration = Duration::from_secs(1);

/// How long an engine that has just connected may take to say hello. An intent sent meanwhile would be taken for the
/// answer to it. Engines of the first version say none.
const HELLO_LIMIT: Duration = Duration::from_millis(250);

/// The control session of one run, from before the engine connects until after it has gone.
#[derive(Debug, Default)]
pub(super) struct Session {
    connection: Connection,
    frames: FrameCutter,
    /// The engine's hello, or another frame, has come.
    greeted: bool,
    cancel: Cancel,
    /// The first conclusion; later ones do not replace it.
    concluded: Option<Conclusion>,
    /// What is to be sent to the engine.
    outgoing: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Connection {
    #[default]
    Awaited,
    Open {
        since: Instant,
    },
    Closed,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Cancel {
    #[default]
    NotWanted,
    Wanted,
    Sent,
}

impl Session {
    /// The engine has connected, and its token has been checked.
    pub(super) fn opened(&mut self, now: Instant) {
        self.connection = Connection::Open { since: now };
    }

    /// Nothing more can come from the engine.
    pub(super) fn closed(&mut self) {
        self.connection = Connection::Closed;
    }

    /// Takes what the engine has sent.
    ///
    /// # Errors
    /// It is not of the protocol, and the session must be closed.
    pub(super) fn received(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.frames.push(bytes);
        while let Some(frame) = self.frames.next()? {
            match frame {
                Frame::Hello(answer) => self.outgoing.extend(answer),
                Frame::Receipt(conclusion) => {
                    self.conclude(conclusion);
                    self.outgoing.push(frame::RECEIPT_ACKNOWLEDGED);
                }
                // Unasked for it acknowledges nothing.
                Frame::IntentAcknowledged if self.cancel == Cancel::Sent => {
                    self.conclude(Conclusion::CancelAcknowledged);
                }
                Frame::IntentAcknowledged => {}
            }
            self.greeted = true;
        }
        Ok(())
    }

    /// Wants a cancellation announced.
    pub(super) fn cancel(&mut self) {
        let is_open = matches!(self.connection, Connection::Open { .. });
        if is_open && self.cancel == Cancel::NotWanted {
            self.cancel = Cancel::Wanted;
        }
    }

    /// What has come of a cancellation that was wanted at `asked`; `None` as long as that is open.
    pub(super) fn announced(&self, asked: Instant, now: Instant) -> Option<Announced> {
        match &self.concluded {
            Some(Conclusion::CancelAcknowledged) => Some(Announced::Acknowledged),
            Some(_) => Some(Announced::AlreadyConcluded),
            None if !matches!(self.connection, Connection::Open { .. }) => Some(Announced::Unheard),
            None => (now >= asked + ACKNOWLEDGEMENT_LIMIT).then_some(Announced::Unheard),
        }
    }

    /// What is to be sent now. What could not be sent is to be given back with [`Session::unsent`].
    pub(super) fn outgoing(&mut self, now: Instant) -> Vec<u8> {
        let may_announce = self.greeted || self.hello_deadline().is_some_and(|deadline| now >= deadline);
        if may_announce && self.cancel == Cancel::Wanted && self.concluded.is_none() {
            self.cancel = Cancel::Sent;
            self.outgoing.push(frame::CANCEL);
        }
        std::mem::take(&mut self.outgoing)
    }

    pub(super) fn unsent(&mut self, bytes: &[u8]) {
        self.outgoing.splice(..0, bytes.iter().copied());
    }

    /// When there is something to do although nothing came.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.hello_deadline().filter(|_| self.cancel == Cancel::Wanted && !self.greeted)
    }

    /// Whether there is something to be sent.
    pub(super) const fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// The first conclusion that the engine came to.
    pub(super) const fn concluded(&self) -> Option<&Conclusion> {
        self.concluded.as_ref()
    }

    fn hello_deadline(&self) -> Option<Instant> {
        match self.connection {
            Connection::Open { since } => Some(since + HELLO_LIMIT),
            Connection::Awaited | Connection::Closed => None,
        }
    }

    fn conclude(&mut self, conclusion: Conclusion) {
        self.concluded.get_or_insert(conclusion);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &[u8] = b"\0PF\x02\x01";

    fn connected(now: Instant) -> Session {
        let mut session = Session::default();
        session.opened(now);
        session
    }

    #[test]
    fn c087_an_engine_of_the_first_version_which_says_no_hello_is_told_too() {
        let now = Instant::now();
        let mut session = connected(now);
        session.cancel();
        assert_eq!(session.outgoing(now), b"");
        assert_eq!(session.deadline(), Some(now + HELLO_LIMIT));
        assert_eq!(session.outgoing(now + HELLO_LIMIT), b"c");
        assert_eq!(session.announced(now, now + HELLO_LIMIT), None);
        session.received(b"a").unwrap();
        assert_eq!(session.announced(now, now), Some(Announced::Acknowledged));
        session.cancel();
        assert_eq!(session.outgoing(now + HELLO_LIMIT), b"", "it is told once");
    }

    #[test]
    fn an_intent_waits_for_the_hello_of_an_engine_that_has_just_connected() {
        let now = Instant::now();
        let mut session = connected(now);
        session.cancel();
        session.received(HELLO).unwrap();
        assert_eq!(session.outgoing(now), b"\0PF\x02\x01c");
    }

    #[test]
    fn a_receipt_that_crosses_the_intent_wins() {
        let now = Instant::now();
        let mut session = connected(now);
        session.received(HELLO).unwrap();
        session.cancel();
        assert!(session.outgoing(now).ends_with(b"c"));
        let receipt = br#"{"disposition":"ORCHESTRATION_ABORTED"}"#;
        let length = u32::try_from(receipt.len()).unwrap().to_be_bytes();
        session.received(&[&[1], &length[..], receipt, b"a"].concat()).unwrap();
        assert_eq!(session.outgoing(now), [2]);
        assert_eq!(session.announced(now, now), Some(Announced::AlreadyConcluded));
        session.closed();
        assert_eq!(session.concluded(), Some(&Conclusion::OrchestrationAborted));
    }

    #[test]
    fn nobody_hears_before_the_connection_or_after_it_or_without_an_answer() {
        let now = Instant::now();
        let mut session = Session::default();
        session.cancel();
        assert_eq!(session.announced(now, now), Some(Announced::Unheard));
        session.opened(now);
        assert_eq!(session.announced(now, now), None);
        assert_eq!(session.announced(now, now + ACKNOWLEDGEMENT_LIMIT), Some(Announced::Unheard));
        session.closed();
        assert_eq!(session.announced(now, now), Some(Announced::Unheard));
    }

    #[test]
    fn what_could_not_be_sent_comes_first_the_next_time() {
        let now = Instant::now();
        let mut session = connected(now);
        session.received(HELLO).unwrap();
        assert_eq!(session.outgoing(now), HELLO);
        session.received(HELLO).unwrap();
        session.unsent(b"\x01");
        assert_eq!(session.outgoing(now), b"\x01\0PF\x02\x01");
    }
}

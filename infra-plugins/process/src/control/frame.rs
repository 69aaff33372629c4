//! The bytes on the wire.

use std::io;

use serde::Deserialize;
use uuid::Uuid;
use worker_core::exit::Conclusion;

/// Supervisor to engine: the run is cancelled, a termination signal follows.
pub(super) const CANCEL: u8 = b'c';
/// Engine to supervisor: the announced intent is understood.
const INTENT_ACKNOWLEDGED: u8 = b'a';
/// Supervisor to engine: the receipt has arrived.
pub(super) const RECEIPT_ACKNOWLEDGED: u8 = 2;

const HELLO: u8 = 0;
const RECEIPT: u8 = 1;
const MAGIC: [u8; 2] = *b"PF";
const VERSION: u8 = 2;
/// The engine sends receipts.
const RECEIPTS: u8 = 1;
const LONGEST_RECEIPT: usize = 4096;

/// Something the engine sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// It offers a version and capabilities, and waits for this answer.
    Hello([u8; 5]),
    /// It has settled the run's state; it waits for the acknowledgement before it ends.
    Receipt(Conclusion),
    /// It has understood the intent.
    IntentAcknowledged,
}

/// Collects bytes and gives them back as frames.
#[derive(Debug, Default)]
pub(super) struct FrameCutter(Vec<u8>);

impl FrameCutter {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next complete frame, if it has come.
    ///
    /// # Errors
    /// What came is not of the protocol. Nothing can be read after it.
    pub(super) fn next(&mut self) -> io::Result<Option<Frame>> {
        let (frame, length) = match *self.0.as_slice() {
            [HELLO, first, second, version, capabilities, ..] => {
                (Frame::Hello(answer_hello([first, second], version, capabilities)?), 5)
            }
            [RECEIPT, a, b, c, d, ref rest @ ..] => {
                let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
                if length > LONGEST_RECEIPT {
                    return Err(malformed("a receipt that is too long"));
                }
                let Some(text) = rest.get(..length) else { return Ok(None) };
                (Frame::Receipt(serde_json::from_slice::<Receipt>(text)?.into()), 5 + length)
            }
            [] | [HELLO | RECEIPT, ..] => return Ok(None),
            [INTENT_ACKNOWLEDGED, ..] => (Frame::IntentAcknowledged, 1),
            [..] => return Err(malformed("an unknown kind of frame")),
        };
        self.0.drain(..length);
        Ok(Some(frame))
    }
}

/// Version 2 with receipts is accepted as offered, anything else declined: the engine then goes on with version 1.
fn answer_hello(magic: [u8; 2], version: u8, capabilities: u8) -> io::Result<[u8; 5]> {
    if magic != MAGIC {
        return Err(malformed("a hello of something else"));
    }
    let (version, capabilities) =
        if (version, capabilities) == (VERSION, RECEIPTS) { (VERSION, RECEIPTS) } else { (1, 0) };
    let [first, second] = magic;
    Ok([HELLO, first, second, version, capabilities])
}

/// What the engine has settled.
#[derive(Deserialize)]
#[serde(tag = "disposition", rename_all = "SCREAMING_SNAKE_CASE")]
enum Receipt {
    StateReported { state_id: Option<Uuid>, state_type: Option<String> },
    OrchestrationAborted,
}

impl From<Receipt> for Conclusion {
    fn from(receipt: Receipt) -> Self {
        match receipt {
            Receipt::StateReported { state_id, state_type } => Self::StateReported { state_id, state_type },
            Receipt::OrchestrationAborted => Self::OrchestrationAborted,
        }
    }
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: &[u8]) -> io::Result<Option<Frame>> {
        let mut cutter = FrameCutter::default();
        cutter.push(bytes);
        cutter.next()
    }

    fn receipt(json: &str) -> Vec<u8> {
        let length = u32::try_from(json.len()).unwrap().to_be_bytes();
        [&[1], &length[..], json.as_bytes()].concat()
    }

    #[test]
    fn version_two_with_receipts_is_accepted_and_anything_else_declined() {
        let accepted = Frame::Hello([0, 0x50, 0x46, 2, 1]);
        assert_eq!(frame(&[0, 0x50, 0x46, 2, 1]).unwrap(), Some(accepted));
        for offer in [[0, 0x50, 0x46, 3, 1], [0, 0x50, 0x46, 2, 3], [0, 0x50, 0x46, 1, 1]] {
            assert_eq!(frame(&offer).unwrap(), Some(Frame::Hello([0, 0x50, 0x46, 1, 0])), "{offer:?}");
        }
        assert!(frame(b"\x00GET ").is_err());
    }

    #[test]
    fn receipts_say_what_was_settled() {
        let id = Uuid::from_u128(5);
        let text =
            format!(r#"{{"disposition":"STATE_REPORTED","state_id":"{id}","state_type":"FAILED","state_name":"x"}}"#);
        let reported = Conclusion::StateReported { state_id: Some(id), state_type: Some("FAILED".to_owned()) };
        assert_eq!(frame(&receipt(&text)).unwrap(), Some(Frame::Receipt(reported)));
        let aborted = receipt(r#"{"disposition":"ORCHESTRATION_ABORTED"}"#);
        assert_eq!(frame(&aborted).unwrap(), Some(Frame::Receipt(Conclusion::OrchestrationAborted)));
    }

    #[test]
    fn what_is_not_of_the_protocol_is_an_error() {
        assert!(frame(&receipt("{}")).is_err());
        assert!(frame(&[1, 0, 0, 16, 1]).is_err(), "longer than a receipt may be");
        assert!(frame(b"?").is_err());
        assert_eq!(frame(b"").unwrap(), None);
    }

    #[test]
    fn frames_come_whole_however_the_bytes_are_cut() {
        let bytes = [&[0, 0x50, 0x46, 2, 1][..], &receipt(r#"{"disposition":"ORCHESTRATION_ABORTED"}"#), b"a"].concat();
        let mut cutter = FrameCutter::default();
        let mut frames = Vec::new();
        for byte in bytes {
            cutter.push(&[byte]);
            frames.extend(cutter.next().unwrap());
        }
        let aborted = Frame::Receipt(Conclusion::OrchestrationAborted);
        assert_eq!(frames, [Frame::Hello([0, 0x50, 0x46, 2, 1]), aborted, Frame::IntentAcknowledged]);
    }
}

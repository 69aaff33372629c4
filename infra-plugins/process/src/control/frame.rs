//! The bytes on the wire.

use std::io;

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use uuid::Uuid;
use worker_core::exit::Conclusion;

/// Worker to engine: the run is cancelled, a termination signal follows.
pub(super) const CANCEL: u8 = b'c';
/// Engine to worker: the announced intent is understood.
const INTENT_ACKNOWLEDGED: u8 = b'a';
/// Worker to engine: the receipt has arrived.
pub(super) const RECEIPT_ACKNOWLEDGED: u8 = 2;

const HELLO: u8 = 0;
const RECEIPT: u8 = 1;
const MAGIC: [u8; 2] = *b"PF";
const VERSION: u8 = 2;
/// The engine sends receipts.
const RECEIPTS: u8 = 1;
const LONGEST_RECEIPT: u32 = 4096;

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

/// Reads one frame; `None` at the end of the connection.
///
/// # Errors
/// The connection broke, or what came is not of the protocol. Nothing can be read after it.
pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let kind = match from.read_u8().await {
        Ok(kind) => kind,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let frame = match kind {
        HELLO => Frame::Hello(answer_hello(from).await?),
        RECEIPT => Frame::Receipt(read_receipt(from).await?),
        INTENT_ACKNOWLEDGED => Frame::IntentAcknowledged,
        _ => return Err(malformed("an unknown kind of frame")),
    };
    Ok(Some(frame))
}

/// Version 2 with receipts is accepted as offered, anything else declined: the engine then goes on with version 1.
async fn answer_hello(from: &mut (impl AsyncRead + Unpin)) -> io::Result<[u8; 5]> {
    let mut rest = [0; 4];
    from.read_exact(&mut rest).await?;
    let [first, second, version, capabilities] = rest;
    if [first, second] != MAGIC {
        return Err(malformed("a hello of something else"));
    }
    let (version, capabilities) =
        if (version, capabilities) == (VERSION, RECEIPTS) { (VERSION, RECEIPTS) } else { (1, 0) };
    Ok([HELLO, first, second, version, capabilities])
}

async fn read_receipt(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Conclusion> {
    let length = from.read_u32().await?;
    if length > LONGEST_RECEIPT {
        return Err(malformed("a receipt that is too long"));
    }
    let mut text = Vec::new();
    from.take(length.into()).read_to_end(&mut text).await?;
    serde_json::from_slice::<Receipt>(&text).map(Conclusion::from).map_err(io::Error::from)
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

    async fn frame(mut bytes: &[u8]) -> io::Result<Option<Frame>> {
        read(&mut bytes).await
    }

    fn receipt(json: &str) -> Vec<u8> {
        let length = u32::try_from(json.len()).unwrap().to_be_bytes();
        [&[1], &length[..], json.as_bytes()].concat()
    }

    #[tokio::test]
    async fn version_two_with_receipts_is_accepted_and_anything_else_declined() {
        let accepted = Frame::Hello([0, 0x50, 0x46, 2, 1]);
        assert_eq!(frame(&[0, 0x50, 0x46, 2, 1]).await.unwrap(), Some(accepted));
        for offer in [[0, 0x50, 0x46, 3, 1], [0, 0x50, 0x46, 2, 3], [0, 0x50, 0x46, 1, 1]] {
            assert_eq!(frame(&offer).await.unwrap(), Some(Frame::Hello([0, 0x50, 0x46, 1, 0])), "{offer:?}");
        }
        assert!(frame(b"\x00GET ").await.is_err());
    }

    #[tokio::test]
    async fn receipts_say_what_was_settled() {
        let id = Uuid::from_u128(5);
        let text =
            format!(r#"{{"disposition":"STATE_REPORTED","state_id":"{id}","state_type":"FAILED","state_name":"x"}}"#);
        let reported = Conclusion::StateReported { state_id: Some(id), state_type: Some("FAILED".to_owned()) };
        assert_eq!(frame(&receipt(&text)).await.unwrap(), Some(Frame::Receipt(reported)));
        let aborted = receipt(r#"{"disposition":"ORCHESTRATION_ABORTED"}"#);
        assert_eq!(frame(&aborted).await.unwrap(), Some(Frame::Receipt(Conclusion::OrchestrationAborted)));
    }

    #[tokio::test]
    async fn what_is_not_of_the_protocol_is_an_error() {
        assert!(frame(&receipt("{}")).await.is_err());
        assert!(frame(&[1, 0, 0, 16, 1]).await.is_err(), "longer than a receipt may be");
        assert!(frame(b"?").await.is_err());
        assert_eq!(frame(b"").await.unwrap(), None);
    }
}

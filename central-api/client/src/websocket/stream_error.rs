//! What can go wrong with a websocket.

use reqwest_websocket::{CloseCode, HandshakeError};

use crate::error::{BoxError, TransportError};

/// Why a websocket could not be opened, or ended.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// No answer to the upgrade request.
    #[error("the websocket could not be opened")]
    Unreachable(#[source] TransportError),
    /// The upgrade was refused.
    #[error("the websocket was refused with HTTP status {status}")]
    Refused {
        /// The HTTP status: anything but 101.
        status: u16,
    },
    /// The upgrade was accepted without the sub-protocol `prefect`.
    #[error("the server does not speak the websocket sub-protocol prefect")]
    NoSubprotocol,
    /// The answer to the upgrade request is not legal; some proxy is not made for websockets.
    #[error("the answer to the websocket upgrade is not legal")]
    Upgrade(#[source] BoxError),
    /// The server closed the websocket.
    #[error("the server closed the websocket with code {code} and reason {reason:?}")]
    Closed {
        /// The close code, such as 1008.
        code: u16,
        /// The reason; where there is one, it says more than the code.
        reason: String,
    },
    /// The connection ended without a close.
    #[error("the websocket was cut")]
    Cut(#[source] BoxError),
    /// The server answered no ping, or took in nothing.
    #[error("the server has gone silent")]
    Silent,
    /// A frame is not what the protocol has at this place. Its content is not repeated: it may be secret.
    #[error("the server sent {what}")]
    Malformed {
        /// What came.
        what: &'static str,
    },
    /// A frame of our own could not be turned into JSON.
    #[error("a frame could not be encoded")]
    Unencodable(#[source] serde_json::Error),
}

impl StreamError {
    /// Whether the server, or a proxy before it, does not want this websocket at all: asking again is of no use.
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::Refused { status } => matches!(*status, 400..=499) && !matches!(*status, 408 | 429),
            Self::NoSubprotocol => true,
            Self::Closed { code, .. } => matches!(*code, 1002 | 1008),
            Self::Unreachable(_)
            | Self::Upgrade(_)
            | Self::Cut(_)
            | Self::Silent
            | Self::Malformed { .. }
            | Self::Unencodable(_) => false,
        }
    }

    pub(super) fn closed(code: CloseCode, reason: String) -> Self {
        Self::Closed { code: code.into(), reason }
    }
}

impl From<reqwest_websocket::Error> for StreamError {
    fn from(error: reqwest_websocket::Error) -> Self {
        use reqwest_websocket::Error;
        match error {
            Error::Reqwest(error) => Self::Unreachable(error.into()),
            Error::Handshake(HandshakeError::UnexpectedStatusCode(status)) => Self::Refused { status: status.as_u16() },
            Error::Handshake(HandshakeError::ExpectedAProtocol) => Self::NoSubprotocol,
            Error::Handshake(error) => Self::Upgrade(error.into()),
            other @ (Error::Tungstenite(_) | _) => Self::Cut(other.into()),
        }
    }
}

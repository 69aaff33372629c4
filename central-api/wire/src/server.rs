//! Answers about the server itself.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `GET /csrf-token`.
#[derive(Clone, Serialize, Deserialize)]
pub struct CsrfToken {
    /// The token.
    pub token: String,
    /// The client it was made for.
    pub client: String,
    /// When it ends.
    pub expiration: Timestamp,
}

/// The body of an error: one of the two fields is filled, depending on the layer that answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The message of the web framework; a text, or a list of validation errors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<serde_json::Value>,
    /// The message of the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception_message: Option<String>,
}

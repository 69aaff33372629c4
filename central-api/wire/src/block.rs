//! Blocks and variables.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use worker_core::ids::BlockDocumentId;

/// A block document. With `include_secrets=true` its data holds secrets, so it has no `Debug`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockDocument {
    /// Its id.
    pub id: BlockDocumentId,
    /// Its name; anonymous blocks have none.
    #[serde(default)]
    pub name: Option<String>,
    /// Its data; references to other blocks are already resolved by the server.
    #[serde(default)]
    pub data: Map<String, Value>,
}

/// A variable.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value: any JSON.
    #[serde(default)]
    pub value: Value,
}

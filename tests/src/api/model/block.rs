//! Block documents.

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;
use worker_core::ids::BlockDocumentId;

/// A block document as stored. Its data holds secrets, so it has no `Debug`.
#[derive(Clone, PartialEq)]
pub struct BlockRow {
    /// Its id.
    pub id: BlockDocumentId,
    /// When it was made.
    pub created: Timestamp,
    /// Slug of its type, such as `secret`.
    pub type_slug: String,
    /// Id of its type.
    pub type_id: Uuid,
    /// Id of its schema.
    pub schema_id: Uuid,
    /// Its name; an anonymous block has none.
    pub name: Option<String>,
    /// Its data. `{"$ref": {"block_document_id": …}}` stands for the data of another document.
    pub data: Map<String, Value>,
    /// Paths, with dots, of the fields that are masked unless the reader asks for secrets.
    pub secret_fields: Vec<String>,
}

//! Blocks and variables.

use central_api_wire::block::{BlockDocument, Variable};
use http::Method;
use worker_core::ids::BlockDocumentId;

use super::json;
use crate::{ApiError, CallKind, Client};

impl Client {
    /// A block with its secrets. [`CallKind::Read`]. `GET /block_documents/{id}`.
    pub async fn block_by_id(&self, id: BlockDocumentId) -> Result<BlockDocument, ApiError> {
        let id = id.to_string();
        let call = self.call(CallKind::Read, Method::GET, "read a block", &["block_documents", &id]);
        self.exchange(call.query("include_secrets", "true"), json).await
    }

    /// A block with its secrets, by the slug of its type and its name. [`CallKind::Read`].
    /// `GET /block_types/slug/{slug}/block_documents/name/{name}`.
    pub async fn block_by_name(&self, slug: &str, name: &str) -> Result<BlockDocument, ApiError> {
        let path = ["block_types", "slug", slug, "block_documents", "name", name];
        let call = self.call(CallKind::Read, Method::GET, "read a block", &path);
        self.exchange(call.query("include_secrets", "true"), json).await
    }

    /// A variable; none if the API knows none of that name. [`CallKind::Read`]. `GET /variables/name/{name}`.
    pub async fn variable(&self, name: &str) -> Result<Option<Variable>, ApiError> {
        let call = self.call(CallKind::Read, Method::GET, "read a variable", &["variables", "name", name]);
        match self.exchange(call, json).await {
            Ok(variable) => Ok(Some(variable)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

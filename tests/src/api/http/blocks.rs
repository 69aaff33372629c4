//! Block documents.

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;
use worker_core::ids::BlockDocumentId;

use super::Api;
use super::input::InPath;
use super::refusal::Refusal;
use super::shapes::{block_json, block_type_json};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/block_documents/{id}", get(read))
        .route("/block_types/slug/{slug}", get(read_type))
        .route("/block_types/slug/{slug}/block_documents/name/{name}", get(read_named))
}

#[derive(Deserialize)]
struct Secrets {
    #[serde(default)]
    include_secrets: bool,
}

async fn read(
    State(api): State<Api>,
    InPath(id): InPath<BlockDocumentId>,
    Query(secrets): Query<Secrets>,
) -> Result<Json<Value>, Refusal> {
    api.store.read(|tables| Ok(Json(block_json(tables, tables.block(id)?, secrets.include_secrets))))
}

async fn read_named(
    State(api): State<Api>,
    InPath((slug, name)): InPath<(String, String)>,
    Query(secrets): Query<Secrets>,
) -> Result<Json<Value>, Refusal> {
    api.store.read(|tables| {
        let block = tables.block_named(&slug, &name)?;
        Ok(Json(block_json(tables, block, secrets.include_secrets)))
    })
}

async fn read_type(State(api): State<Api>, InPath(slug): InPath<String>) -> Result<Json<Value>, Refusal> {
    api.store.read(|tables| Ok(Json(block_type_json(tables.block_of_type(&slug)?))))
}

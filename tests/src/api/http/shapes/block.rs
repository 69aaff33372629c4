//! Block documents and their types.

use serde_json::{Map, Value, json};

use crate::api::model::BlockRow;
use crate::api::store::Tables;

pub(in crate::api) fn block_json(tables: &Tables, block: &BlockRow, include_secrets: bool) -> Value {
    let block_type = block_type_json(block);
    let fields = json!({
        "block_type_slug": block.type_slug,
        "properties": block.data.keys().map(|key| (key.clone(), json!({"title": key}))).collect::<Map<_, _>>(),
        "secret_fields": block.secret_fields,
        "title": title(&block.type_slug),
        "type": "object",
        "block_schema_references": {},
    });
    json!({
        "id": block.id,
        "created": block.created,
        "updated": block.created,
        "name": block.name,
        "data": tables.block_data(block, include_secrets),
        "block_schema_id": block.schema_id,
        "block_schema": {
            "id": block.schema_id,
            "created": block.created,
            "updated": block.created,
            "checksum": format!("sha256:{}", block.schema_id.simple()),
            "fields": fields,
            "block_type_id": block.type_id,
            "block_type": block_type,
            "capabilities": [],
            "version": "non-versioned",
        },
        "block_type_id": block.type_id,
        "block_type_name": title(&block.type_slug),
        "block_type": block_type,
        "block_document_references": {},
        "is_anonymous": block.name.is_none(),
    })
}

pub(in crate::api) fn block_type_json(block: &BlockRow) -> Value {
    json!({
        "id": block.type_id,
        "created": block.created,
        "updated": block.created,
        "name": title(&block.type_slug),
        "slug": block.type_slug,
        "logo_url": null,
        "documentation_url": null,
        "description": null,
        "code_example": null,
        "is_protected": false,
    })
}

/// `docker-registry-credentials` is called `Docker Registry Credentials`.
fn title(slug: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>()).unwrap_or_default()
    };
    slug.split('-').map(word).collect::<Vec<_>>().join(" ")
}

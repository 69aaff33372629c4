//! Block documents and how much of their data a reader sees.

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;
use worker_core::ids::BlockDocumentId;

use super::setup::NewBlock;
use super::{StoreError, Tables};
use crate::api::model::BlockRow;

/// What is shown instead of a secret.
const MASK: &str = "********";
/// Documents may refer to each other; a circle is cut after so many steps.
const DEEPEST_REFERENCE: u8 = 8;

impl Tables {
    pub(crate) fn add_block(&mut self, new: NewBlock, now: Timestamp) -> BlockDocumentId {
        let known = self.blocks.values().find(|block| block.type_slug == new.type_slug);
        let (type_id, schema_id) =
            known.map_or_else(|| (Uuid::new_v4(), Uuid::new_v4()), |block| (block.type_id, block.schema_id));
        let id = BlockDocumentId(Uuid::new_v4());
        self.blocks.insert(
            id,
            BlockRow {
                id,
                created: now,
                type_slug: new.type_slug,
                type_id,
                schema_id,
                name: new.name,
                data: new.data,
                secret_fields: new.secret_fields,
            },
        );
        id
    }

    /// A block document.
    pub fn block(&self, id: BlockDocumentId) -> Result<&BlockRow, StoreError> {
        self.blocks.get(&id).ok_or(StoreError::BlockNotFound)
    }

    pub(crate) fn block_named(&self, type_slug: &str, name: &str) -> Result<&BlockRow, StoreError> {
        self.blocks
            .values()
            .find(|block| block.type_slug == type_slug && block.name.as_deref() == Some(name))
            .ok_or(StoreError::BlockNotFound)
    }

    /// Some document of a type: types exist through their documents.
    pub(crate) fn block_of_type(&self, type_slug: &str) -> Result<&BlockRow, StoreError> {
        self.blocks.values().find(|block| block.type_slug == type_slug).ok_or(StoreError::BlockTypeNotFound)
    }

    /// The data of a document, with references to other documents replaced by their data, and with secrets masked unless
    /// they are asked for.
    pub(crate) fn block_data(&self, block: &BlockRow, include_secrets: bool) -> Map<String, Value> {
        self.resolved_data(block, include_secrets, DEEPEST_REFERENCE)
    }

    fn resolved_data(&self, block: &BlockRow, include_secrets: bool, depth: u8) -> Map<String, Value> {
        let mut data = block.data.clone();
        if !include_secrets {
            for field in &block.secret_fields {
                mask(&mut data, field);
            }
        }
        for value in data.values_mut() {
            let Some(referred) = reference(value).and_then(|id| self.blocks.get(&id)) else { continue };
            if let Some(depth) = depth.checked_sub(1) {
                *value = Value::Object(self.resolved_data(referred, include_secrets, depth));
            }
        }
        data
    }
}

fn reference(value: &Value) -> Option<BlockDocumentId> {
    value.get("$ref")?.get("block_document_id")?.as_str()?.parse().ok()
}

fn mask(data: &mut Map<String, Value>, path: &str) {
    let (field, rest) = path.split_once('.').map_or((path, None), |(field, rest)| (field, Some(rest)));
    let Some(value) = data.get_mut(field) else { return };
    match (rest, value) {
        (None, value) if !value.is_null() => *value = Value::String(MASK.to_owned()),
        (Some(rest), Value::Object(inner)) => mask(inner, rest),
        (None | Some(_), _) => {}
    }
}

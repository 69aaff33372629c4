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
    /// Its type; absent from answers that leave it out.
    #[serde(default)]
    pub block_type: Option<BlockType>,
    /// What its type says of the data.
    #[serde(default)]
    pub block_schema: Option<BlockSchema>,
}

/// A type of blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockType {
    /// The name by which programs know it: `s3-bucket`.
    pub slug: String,
}

/// The schema of a block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockSchema {
    /// Its fields.
    #[serde(default)]
    pub fields: BlockFields,
}

/// The fields of a block, as far as a worker looks at them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BlockFields {
    /// Those that hold secrets: paths with dots, where `*` is every key.
    #[serde(default)]
    pub secret_fields: Option<Vec<String>>,
}

impl BlockDocument {
    /// The texts in its data that are secret. All of them where its type does not say.
    pub fn secrets(&self) -> Vec<&str> {
        let mut found = Vec::new();
        let fields = self.block_schema.as_ref().and_then(|schema| schema.fields.secret_fields.as_ref());
        match fields {
            Some(fields) => {
                for field in fields {
                    let mut path = field.split('.');
                    if let Some(value) = path.next().and_then(|name| self.data.get(name)) {
                        at(value, &path.collect::<Vec<_>>(), &mut found);
                    }
                }
            }
            None => self.data.values().for_each(|value| at(value, &[], &mut found)),
        }
        found
    }
}

/// The texts at a path, and below its end.
fn at<'v>(value: &'v Value, path: &[&str], found: &mut Vec<&'v str>) {
    match (value, path) {
        (Value::String(text), _) => found.push(text),
        (Value::Array(items), _) => items.iter().for_each(|item| at(item, path, found)),
        (Value::Object(entries), [] | ["*", ..]) => {
            let rest = path.get(1..).unwrap_or_default();
            entries.values().for_each(|value| at(value, rest, found));
        }
        (Value::Object(entries), [name, rest @ ..]) => {
            if let Some(value) = entries.get(*name) {
                at(value, rest, found);
            }
        }
        (Value::Null | Value::Bool(_) | Value::Number(_), _) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn block(schema: &Value) -> BlockDocument {
        let data = json!({
            "url": "https://example.com", "token": "t0ken", "nested": {"password": "p4ss", "user": "me"},
            "headers": {"a": "h1", "b": "h2"}, "keys": [{"key": "k1", "id": "i1"}],
        });
        serde_json::from_value(json!({"id": Uuid::nil(), "data": data, "block_schema": schema})).unwrap()
    }

    #[test]
    fn the_secrets_of_a_block_are_those_that_its_type_names() {
        let fields = ["token", "nested.password", "headers.*", "keys.key", "gone.field"];
        let block = block(&json!({"fields": {"secret_fields": fields}}));
        assert_eq!(block.secrets(), ["t0ken", "p4ss", "h1", "h2", "k1"]);
    }

    #[test]
    fn of_a_block_whose_type_says_nothing_every_text_counts() {
        assert_eq!(block(&Value::Null).secrets().len(), 8);
        assert_eq!(block(&json!({"fields": {"secret_fields": []}})).secrets(), Vec::<&str>::new());
    }
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

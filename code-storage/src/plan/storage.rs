//! Deployments without pull steps: their code is in a storage block, or in a directory of the machine.

use serde_json::{Map, Value};
use worker_core::template::Reference;

use super::{DeploymentCode, EngineReason, Found, ObjectFetch};
use crate::objects::{ObjectPull, Unreadable};

/// What stands in a deployment's path for a directory that only the environment names, and the variable that does.
const PLACEHOLDER: &str = "$STORAGE_BASE_PATH";
const VARIABLE: &str = "PREFECT__STORAGE_BASE_PATH";

/// Where the code is, and for a block what it says once that is known.
#[derive(Debug)]
pub(super) struct StorageDraft {
    /// The block, until it is provided.
    pub(super) pending: Vec<Reference>,
    path: Option<String>,
    is_here: bool,
    fetch: Option<ObjectFetch>,
}

impl StorageDraft {
    /// Reads where the code of a deployment without pull steps is.
    pub(super) fn of(code: &DeploymentCode<'_>) -> Result<Self, EngineReason> {
        // The SDK fetches nothing for a module, which is installed where the flow runs.
        if !code.entrypoint.is_some_and(|entrypoint| entrypoint.contains(':')) {
            return Err(EngineReason::LocalPath);
        }
        let is_here = code.site.has_our_rights();
        let path = code.path.map(|path| match code.site.environment.get(VARIABLE) {
            Some(base) if !base.is_empty() => path.replace(PLACEHOLDER, base),
            Some(_) | None => path.to_owned(),
        });
        let Some(block) = code.storage_block else {
            let fetch = path.filter(|_| is_here).and_then(|path| directory(&path)).ok_or(EngineReason::LocalPath)?;
            return Ok(Self { pending: Vec::new(), path: None, is_here, fetch: Some(fetch) });
        };
        // The environment of another machine or container is not known here.
        if !is_here && code.path.is_some_and(|path| path.contains(PLACEHOLDER)) {
            return Err(EngineReason::StorageElsewhere);
        }
        Ok(Self { pending: vec![Reference::BlockById(block)], path, is_here, fetch: None })
    }

    pub(super) fn provide(&mut self, block: Option<Found>) -> Result<(), EngineReason> {
        let Some(Found { value: Value::Object(data), block_type }) = block else {
            return Err(EngineReason::NoStorageBlock);
        };
        let slug = block_type.ok_or(Unreadable("the API does not say of which kind it is"));
        let pull = slug.and_then(|slug| ObjectPull::of_block(&slug, &data, self.path.as_deref()));
        let fetch = ObjectFetch::here(pull.map_err(EngineReason::Storage)?);
        if !self.is_here && fetch.is_of_the_machine() {
            return Err(EngineReason::StorageElsewhere);
        }
        self.fetch = Some(fetch);
        self.pending.clear();
        Ok(())
    }

    /// What to fetch. Nothing while the block is pending.
    pub(super) fn finish(self) -> Option<ObjectFetch> {
        self.fetch
    }
}

/// A path without a block, which the SDK reads as the base of a block "Local File System". A relative one is about the
/// directory that the flow's process starts in.
fn directory(path: &str) -> Option<ObjectFetch> {
    let block = Map::from_iter([("basepath".to_owned(), Value::from(path))]);
    ObjectPull::of_block("local-file-system", &block, None).ok().map(ObjectFetch::here)
}

//! The tables of the journal's file.

use redb::{ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use worker_core::ids::LaunchKey;

use super::Facts;
use crate::timeline::Timeline;

/// Launch key (run id, claim: 32 bytes) to record, as JSON.
pub(super) const RUNS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("runs");
/// A number that counts up to what happened to a run that is over, as JSON.
pub(super) const HISTORY: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("history");
/// What the daemon itself remembers: a word to JSON.
pub(super) const MEMORY: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("memory");

/// So many runs that are over are remembered.
const MOST_HISTORY: u64 = 1_000;

pub(super) fn bytes(key: LaunchKey) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(key.run.0.as_bytes());
    bytes[16..].copy_from_slice(key.claim.0.as_bytes());
    bytes
}

/// One change of the file.
#[derive(Debug)]
pub(super) enum Change {
    Put { key: LaunchKey, record: Vec<u8> },
    Forget { key: LaunchKey },
    Remember { word: &'static str, value: Vec<u8> },
}

/// What is kept of a run that is over.
#[derive(Serialize, Deserialize)]
pub(super) struct Past {
    pub(super) key: LaunchKey,
    pub(super) timeline: Timeline,
}

/// Carries out changes in order.
pub(super) fn apply<'c>(
    transaction: &WriteTransaction,
    changes: impl Iterator<Item = &'c Change>,
) -> Result<(), redb::Error> {
    let mut runs = transaction.open_table(RUNS)?;
    let mut history = transaction.open_table(HISTORY)?;
    let mut memory = transaction.open_table(MEMORY)?;
    for change in changes {
        match change {
            Change::Put { key, record } => {
                runs.insert(bytes(*key).as_slice(), record.as_slice())?;
            }
            Change::Forget { key } => {
                let record = runs.remove(bytes(*key).as_slice())?.map(|record| record.value().to_vec());
                if let Some(past) = record.and_then(|record| past(*key, &record)) {
                    let next = history.last()?.map_or(0, |(number, _)| number.value() + 1);
                    history.insert(next, past.as_slice())?;
                    if next >= MOST_HISTORY {
                        history.remove(next - MOST_HISTORY)?;
                    }
                }
            }
            Change::Remember { word, value } => {
                memory.insert(*word, value.as_slice())?;
            }
        }
    }
    Ok(())
}

/// A record that cannot be read any more tells nothing, and must not keep itself from being removed.
fn past(key: LaunchKey, record: &[u8]) -> Option<Vec<u8>> {
    let record: super::Record = serde_json::from_slice(record).ok()?;
    let infrastructure = record.run.handle().map(|handle| handle.infra_id.clone());
    let Facts { name, pool, .. } = record.facts;
    let timeline = Timeline { name, pool, infrastructure, notes: record.timeline, dropped: 0 };
    serde_json::to_vec(&Past { key, timeline }).ok()
}

/// A record as it stands on disk.
pub(super) struct Stored {
    pub(super) key: Vec<u8>,
    pub(super) record: Vec<u8>,
}

/// Every record.
pub(super) fn records(database: &redb::Database) -> Result<Vec<Stored>, redb::Error> {
    let transaction = database.begin_read()?;
    let table = match transaction.open_table(RUNS) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut records = Vec::new();
    for entry in table.iter()? {
        let (key, record) = entry?;
        records.push(Stored { key: key.value().to_vec(), record: record.value().to_vec() });
    }
    Ok(records)
}

/// What happened to runs that are over, oldest first.
pub(super) fn history(database: &redb::Database) -> Result<Vec<Past>, redb::Error> {
    let transaction = database.begin_read()?;
    let table = match transaction.open_table(HISTORY) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut all = Vec::new();
    for entry in table.iter()? {
        all.extend(serde_json::from_slice(entry?.1.value()).ok());
    }
    Ok(all)
}

/// What the daemon remembers under a word.
pub(super) fn remembered(database: &redb::Database, word: &str) -> Result<Option<Vec<u8>>, redb::Error> {
    let transaction = database.begin_read()?;
    match transaction.open_table(MEMORY) {
        Ok(table) => Ok(table.get(word)?.map(|value| value.value().to_vec())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

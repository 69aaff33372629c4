//! The journal's file, opened again when it has to be.
//!
//! After an error of the disk the library takes nothing more until the file is opened anew. A disk that was full for a moment
//! must not stop every run for ever.

use std::sync::{PoisonError, RwLock};

use camino::Utf8PathBuf;
use redb::{Builder, Database, Durability};

use super::tables::{self, Change};

/// The records are small and few: more would only be memory.
const CACHE_BYTES: usize = 1024 * 1024;

#[derive(Debug)]
pub(super) struct Store {
    path: Utf8PathBuf,
    /// `None` between a failed write and the next that works.
    database: RwLock<Option<Database>>,
}

impl Store {
    pub(super) fn open(path: Utf8PathBuf) -> Result<Self, redb::Error> {
        let database = RwLock::new(Some(create(&path)?));
        Ok(Self { path, database })
    }

    /// Reads.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, redb::Error> {
        match &*self.database.read().unwrap_or_else(PoisonError::into_inner) {
            Some(database) => read(database),
            None => Err(redb::Error::DatabaseClosed),
        }
    }

    /// Carries out changes, all or none, and does not return before they would survive a power cut.
    pub(super) fn commit<'c>(&self, changes: impl Iterator<Item = &'c Change>) -> Result<(), redb::Error> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        let open = match database.take() {
            Some(open) => open,
            None => create(&self.path)?,
        };
        let written = commit(&open, changes);
        if written.is_ok() {
            *database = Some(open);
        }
        written
    }
}

fn create(path: &Utf8PathBuf) -> Result<Database, redb::Error> {
    Ok(Builder::new().set_cache_size(CACHE_BYTES).create(path)?)
}

fn commit<'c>(database: &Database, changes: impl Iterator<Item = &'c Change>) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    tables::apply(&transaction, changes)?;
    transaction.commit()?;
    Ok(())
}

//! Opening the journal, whatever state its file is in.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::disk::{self, DiskJournal, Read};
use super::store::Store;
use super::{JournalError, Record};
use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;

/// The journal's name in its folder.
pub const FILE: &str = "journal.redb";

/// A journal and what was in it.
pub struct Opened {
    /// The journal.
    pub journal: DiskJournal,
    /// What an earlier process left.
    pub records: Vec<Record>,
    /// Whether every record could be read: what the others told has to be found out again.
    pub is_complete: bool,
    /// The file that was moved aside because it could not be read. What it told has to be found out again.
    pub moved_aside: Option<Utf8PathBuf>,
}

/// Opens the journal `journal.redb` of a folder, and makes it if there is none. A file that is damaged is moved aside and
/// said loudly; a new one takes its place.
///
/// # Errors
/// The folder cannot be written, or another process has the file.
pub fn open(folder: &Utf8Path) -> Result<Opened, JournalError> {
    let path = folder.join(FILE);
    let cannot_open =
        |source: Arc<dyn std::error::Error + Send + Sync>| JournalError::Open { path: path.clone(), source };
    let mut moved_aside = None;
    let (store, read) = match try_open(&path) {
        Ok(opened) => opened,
        Err(Trouble::Usable(error)) => return Err(cannot_open(Arc::new(error))),
        Err(Trouble::Damaged(why)) => {
            let aside = folder.join(format!("journal-damaged-{}.redb", Timestamp::now().as_millisecond()));
            fs_err::rename(&path, &aside).map_err(|error| cannot_open(Arc::new(error)))?;
            tracing::error!(
                "the journal {path} is damaged ({why}) and was moved to {aside}. Runs that it told of are found again by \
                 their infrastructure and at the API; runs that were claimed and not yet started are not."
            );
            moved_aside = Some(aside);
            match try_open(&path) {
                Ok(opened) => opened,
                Err(Trouble::Usable(error)) => return Err(cannot_open(Arc::new(error))),
                Err(Trouble::Damaged(why)) => return Err(cannot_open(Arc::new(std::io::Error::other(why)))),
            }
        }
    };
    let journal = DiskJournal::start(store).map_err(|error| cannot_open(Arc::new(error)))?;
    let is_complete = moved_aside.is_none() && read.unreadable.is_empty();
    Ok(Opened { journal, records: read.records, is_complete, moved_aside })
}

enum Trouble {
    /// Nothing is known to be wrong with the file: it is the folder, the disk, or another process.
    Usable(redb::Error),
    Damaged(String),
}

/// Opens and reads. The library is not trusted to take every kind of damage for an error: a panic is damage as well.
fn try_open(path: &Utf8Path) -> Result<(Store, Read), Trouble> {
    let attempt = || -> Result<_, redb::Error> {
        let store = Store::open(path.to_owned())?;
        let read = store.read(disk::read)?;
        Ok((store, read))
    };
    let (store, read) = match catch_unwind(AssertUnwindSafe(attempt)) {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) if is_damage(&error) => return Err(Trouble::Damaged(error.to_string())),
        Ok(Err(error)) => return Err(Trouble::Usable(error)),
        Err(_) => return Err(Trouble::Damaged("reading it failed in an unforeseen way".to_owned())),
    };
    for why in &read.unreadable {
        tracing::error!("a record of the journal {path} cannot be read and is passed over: {why}");
    }
    Ok((store, read))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what the library may add is no known damage")]
fn is_damage(error: &redb::Error) -> bool {
    match error {
        redb::Error::Corrupted(_)
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TypeDefinitionChanged { .. } => true,
        // A file that is too short, or is none of this library's, is told by an error of reading.
        redb::Error::Io(error) => {
            matches!(error.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof)
        }
        _ => false,
    }
}

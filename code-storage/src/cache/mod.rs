//! Code that is kept on this machine, so that the next run need not fetch it.
//!
//! One directory, for all workers of a machine that are told of it. Each entry has a directory of its own, with a lock
//! that its users share and that the system frees when they die. An entry is whole under its final name or not there.

mod coalesced;
mod copy;
mod lock;
mod slot;

use std::fmt;
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

pub(crate) use coalesced::{Coalesced, Shared};
pub(crate) use copy::copy;
pub(crate) use lock::{FileLock, LockError, Mode, Patience};
pub use slot::EntryKind;
pub(crate) use slot::{Record, Slot, replace, short_digest, size_of, sync};

use crate::git::Lookups;

/// How much is kept. Entries that are in use stay in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheLimits {
    /// The most bytes of all entries; those used least recently go first.
    pub size: Option<u64>,
    /// The longest time that an entry is kept without being used.
    pub age: Option<Duration>,
}

/// Something that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What kind of code it is.
    pub kind: EntryKind,
    /// The name of its directory.
    pub name: String,
    /// Where the code comes from, without a secret; empty for an entry that is being made.
    pub source: String,
    /// Bytes, when it was last written to.
    pub size: u64,
    /// When a run last used it.
    pub last_used: SystemTime,
}

/// What pruning removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How many entries.
    pub entries: usize,
    /// How many bytes.
    pub size: u64,
}

/// A directory of code that is kept. Clones of the handle share what is going on in this process: keep one per process.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    directory: Utf8PathBuf,
    limits: CacheLimits,
    salt: [u8; 32],
    lookups: Lookups,
    turns: Shared<tokio::sync::Mutex<()>>,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("directory", &self.0.directory)
            .field("limits", &self.0.limits)
            .finish_non_exhaustive()
    }
}

impl Cache {
    /// Opens the cache in a directory, which is made if it is missing and is the worker's user's alone from then on.
    ///
    /// # Errors
    ///
    /// The directory cannot be made or used.
    pub fn open(directory: &Utf8Path, limits: CacheLimits) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))?;
        let directory =
            Utf8PathBuf::try_from(fs::canonicalize(directory)?).map_err(camino::FromPathBufError::into_io_error)?;
        for kind in EntryKind::ALL {
            fs::create_dir_all(directory.join(kind.directory()))?;
        }
        let salt = salt(&directory.join("salt"))?;
        Ok(Self(Arc::new(Inner { directory, limits, salt, lookups: Lookups::default(), turns: Shared::default() })))
    }

    /// Everything that is kept, the most recently used first.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    pub fn list(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for kind in EntryKind::ALL {
            for found in self.directory().join(kind.directory()).read_dir_utf8()? {
                let found = found?;
                if found.file_name().starts_with('.') || !found.file_type()?.is_dir() {
                    continue;
                }
                // One that is removed meanwhile is no entry any more.
                let slot = Slot::at(found.path().to_owned());
                let Ok((record, last_used)) = slot.read() else { continue };
                // One without a record is being made, or its maker was killed and has left its part on the disk.
                let (source, size) = match record {
                    Some(record) => (record.source, record.size),
                    None => (String::new(), slot.measure().unwrap_or_default()),
                };
                entries.push(Entry { kind, name: found.file_name().to_owned(), source, size, last_used });
            }
        }
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.last_used));
        Ok(entries)
    }

    /// Removes what is beyond the limits and not in use.
    ///
    /// # Errors
    ///
    /// The directory cannot be read, or an entry cannot be removed.
    pub fn prune(&self, limits: CacheLimits) -> io::Result<Pruned> {
        self.remove_remains()?;
        let entries = self.list()?;
        let mut size: u64 = entries.iter().map(|entry| entry.size).sum();
        let now = SystemTime::now();
        let mut pruned = Pruned::default();
        // Those that were used least recently come last.
        for entry in entries.iter().rev() {
            let idle = now.duration_since(entry.last_used).unwrap_or_default();
            let is_old = limits.age.is_some_and(|age| idle > age);
            if !is_old && limits.size.is_none_or(|limit| size <= limit) {
                continue;
            }
            if self.slot_of(entry).remove_unused()? {
                size -= entry.size;
                pruned.entries += 1;
                pruned.size += entry.size;
            }
        }
        Ok(pruned)
    }

    /// What a program that was killed while it removed entries has left.
    fn remove_remains(&self) -> io::Result<()> {
        for kind in EntryKind::ALL {
            for found in self.directory().join(kind.directory()).read_dir_utf8()? {
                let found = found?;
                if found.file_name().starts_with(slot::REMOVED) {
                    match fs::remove_dir_all(found.path()) {
                        // Another worker is at it.
                        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                        Ok(()) | Err(_) => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// Keeps the cache within its own limits after it has grown. That it cannot is no reason to fail the run.
    pub(crate) async fn tidy(&self) {
        if self.0.limits == CacheLimits::default() {
            return;
        }
        let cache = self.clone();
        let pruned = tokio::task::spawn_blocking(move || cache.prune(cache.0.limits)).await;
        match pruned.map_err(io::Error::other).flatten() {
            Ok(Pruned { entries: 0, .. }) => {}
            Ok(pruned) => tracing::info!(pruned.entries, pruned.size, "the cache of code was pruned"),
            Err(error) => tracing::warn!(%error, "the cache of code could not be pruned"),
        }
    }

    /// Removes what is not in use, for a disk that is full. Says whether there was anything.
    pub(crate) async fn make_room(&self) -> bool {
        let cache = self.clone();
        match on_disk(move || cache.prune(CacheLimits { size: Some(0), age: None })).await {
            Ok(Pruned { entries: 0, .. }) => false,
            Ok(pruned) => {
                tracing::warn!(pruned.entries, pruned.size, "the disk is full: the cache of code was cleared");
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the disk is full, and the cache of code could not be cleared");
                false
            }
        }
    }

    /// Whether a path, or the directory that it is to be in, is on the disk of the cache.
    pub(crate) fn shares_disk(&self, path: &Utf8Path) -> bool {
        let disk_of = |path: &Utf8Path| fs::metadata(path).ok().map(|metadata| metadata.dev());
        path.starts_with(self.directory())
            || path.ancestors().find_map(disk_of).is_some_and(|disk| disk_of(self.directory()) == Some(disk))
    }

    pub(crate) fn directory(&self) -> &Utf8Path {
        &self.0.directory
    }

    /// The place for what `identity` says; `name` is for people who look into the directory.
    pub(crate) fn slot(&self, kind: EntryKind, name: &str, identity: &str) -> Slot {
        Slot::new(self.directory(), kind, name, identity)
    }

    pub(crate) fn slot_of(&self, entry: &Entry) -> Slot {
        Slot::at(self.directory().join(entry.kind.directory()).join(&entry.name))
    }

    /// The turns of this process at an entry, before those of other processes: whoever waits here wakes at once.
    pub(crate) fn turns(&self, slot: &Slot) -> Arc<tokio::sync::Mutex<()>> {
        self.0.turns.get(slot.content().as_str())
    }

    pub(crate) fn lookups(&self) -> &Lookups {
        &self.0.lookups
    }

    /// Stands for a secret among those of this cache, and says nothing about it to whoever lacks the cache's salt.
    pub(crate) fn seal(&self, secret: &str) -> String {
        short_digest(&format!("{}\0{secret}", slot::hex(&self.0.salt)))
    }
}

/// Whether there is no more room for a file.
pub(crate) fn is_full_disk(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Does what may take long on a disk, on a thread that may wait for it.
pub(crate) async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Removes a directory with what it holds, if it is there.
pub(crate) fn remove(directory: &Utf8Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The salt that the file has, or a new one. It protects short secrets; a lost one costs proofs and nothing else.
fn salt(path: &Utf8Path) -> io::Result<[u8; 32]> {
    if let Some(known) = fs::read(path).ok().and_then(|known| known.try_into().ok()) {
        return Ok(known);
    }
    let mut salt = [0; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut salt)?;
    replace(path, &salt)?;
    Ok(salt)
}

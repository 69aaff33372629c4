//! One entry of the cache: its directory, its lock and its record.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::lock::{FileLock, LockError, Mode, Patience};

/// What kind of code an entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// A mirror of a git repository.
    Git,
    /// The files of one commit of a git repository, as they are copied to runs.
    Checkout,
    /// A tree of objects of an object store.
    Objects,
}

impl EntryKind {
    pub(super) const ALL: [Self; 3] = [Self::Git, Self::Checkout, Self::Objects];

    pub(super) fn directory(self) -> &'static str {
        match self {
            Self::Git => "git",
            Self::Checkout => "checkouts",
            Self::Objects => "objects",
        }
    }
}

/// What an entry's file says. The time of the last use is the time of the file.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Record {
    /// Where the code comes from, without a secret.
    pub(crate) source: String,
    /// Bytes.
    pub(crate) size: u64,
}

const LOCK: &str = "lock";
const RECORD: &str = "entry.json";
/// The beginning of the names of entries that are being removed.
pub(super) const REMOVED: &str = ".removed-";

/// The place of an entry, whether it is there or not.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    directory: Utf8PathBuf,
}

impl Slot {
    /// The slot of what `identity` says, which may be long and is not seen; `name` is for people.
    pub(super) fn new(root: &Utf8Path, kind: EntryKind, name: &str, identity: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
        let name: String = name.chars().take(40).map(plain).collect();
        let name = name.trim_start_matches('.');
        let digest = short_digest(identity);
        Self { directory: root.join(kind.directory()).join(format!("{name}-{digest}")) }
    }

    pub(super) fn at(directory: Utf8PathBuf) -> Self {
        Self { directory }
    }

    pub(super) fn name(&self) -> &str {
        self.directory.file_name().unwrap_or_default()
    }

    /// Where the code is, once it is whole.
    pub(crate) fn content(&self) -> Utf8PathBuf {
        self.directory.join("content")
    }

    /// Where the code is made, by the one who has the lock.
    pub(crate) fn partial(&self) -> Utf8PathBuf {
        self.directory.join("partial")
    }

    /// A file of the entry besides its code.
    pub(crate) fn beside(&self, name: &str) -> Utf8PathBuf {
        self.directory.join(name)
    }

    /// Waits for the lock. The entry's directory is there as long as it is held.
    pub(crate) async fn lock(&self, mode: Mode, patience: Patience<'_>) -> Result<FileLock, LockError> {
        loop {
            fs::create_dir_all(&self.directory).map_err(LockError::File)?;
            match FileLock::acquire(&self.directory.join(LOCK), mode, patience).await {
                // Removed between the two calls.
                Err(LockError::File(error)) if error.kind() == io::ErrorKind::NotFound => {}
                locked => return locked,
            }
        }
    }

    /// Takes the lock of an entry that is there, if it is free.
    pub(crate) fn try_lock(&self, mode: Mode) -> io::Result<Option<FileLock>> {
        match FileLock::attempt(&self.directory.join(LOCK), mode) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            locked => locked,
        }
    }

    /// The bytes that the entry has by now.
    pub(super) fn measure(&self) -> io::Result<u64> {
        size_of(&self.directory)
    }

    /// Says what is in the entry, and that it is being used.
    pub(crate) fn record(&self, record: &Record) -> io::Result<()> {
        replace(&self.directory.join(RECORD), &serde_json::to_vec(record).map_err(io::Error::other)?)
    }

    /// Says that the entry is being used. That it cannot be said is no reason to fail.
    pub(crate) fn touch(&self) {
        let touched = fs::OpenOptions::new()
            .append(true)
            .open(self.directory.join(RECORD))
            .and_then(|file| file.into_file().set_modified(SystemTime::now()));
        if let Err(error) = touched {
            tracing::debug!(%error, "the use of a cache entry is not recorded");
        }
    }

    /// The record and the time of the last use. An entry that has none is being made, or its maker was killed.
    pub(super) fn read(&self) -> io::Result<(Option<Record>, SystemTime)> {
        let file = self.directory.join(RECORD);
        match fs::read(&file) {
            Ok(bytes) => Ok((serde_json::from_slice(&bytes).ok(), fs::metadata(&file)?.modified()?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok((None, fs::metadata(&self.directory)?.modified()?))
            }
            Err(error) => Err(error),
        }
    }

    /// Removes the entry unless somebody uses it. Says whether it did.
    pub(crate) fn remove_unused(&self) -> io::Result<bool> {
        static REMOVALS: AtomicU64 = AtomicU64::new(0);
        let lock = match FileLock::attempt(&self.directory.join(LOCK), Mode::Exclusive) {
            Ok(Some(lock)) => lock,
            Ok(None) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(error),
        };
        let number = REMOVALS.fetch_add(1, Ordering::Relaxed);
        let removed =
            self.directory.with_file_name(format!("{REMOVED}{}-{}-{number}", self.name(), std::process::id()));
        fs::rename(&self.directory, &removed)?;
        // Who waits for this lock sees that its file is gone, and makes the entry anew under its name.
        fs::remove_file(removed.join(LOCK))?;
        drop(lock);
        fs::remove_dir_all(&removed)?;
        Ok(true)
    }
}

/// Writes a file that is seen whole or not at all.
pub(crate) fn replace(path: &Utf8Path, content: &[u8]) -> io::Result<()> {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let number = WRITES.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().unwrap_or_default();
    let new = path.with_file_name(format!(".{name}.{}.{number}", std::process::id()));
    fs::write(&new, content)?;
    fs::rename(&new, path)
}

/// Has the system write everything that is new on the disk of a directory to it. At once, and not file by file: for each of
/// thousands the disk would be waited for.
pub(crate) fn sync(directory: &Utf8Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(fs::File::open(directory)?.into_file())?)
}

/// Sixteen digits that stand for a text.
pub(crate) fn short_digest(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    hex(digest.get(..8).unwrap_or(&digest))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

/// The bytes in a directory.
pub(crate) fn size_of(directory: &Utf8Path) -> io::Result<u64> {
    let mut size = 0;
    let mut open = vec![directory.as_std_path().to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                open.push(entry.path());
            } else {
                size += metadata.len();
            }
        }
    }
    Ok(size)
}

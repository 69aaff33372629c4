//! One pull at a time to one directory.

use camino::{Utf8Path, Utf8PathBuf};

use crate::cache::{FileLock, LockError, Mode, Patience};

/// The right to change a directory: held against the pulls of this worker and of other workers. The SDK up to 3.7 locks the
/// same file in the same way; a newer one goes by whether the file exists, and may work in the directory meanwhile.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _lock: FileLock,
}

impl DirectoryLock {
    /// The file `<directory>.lock` beside a directory.
    pub(super) fn path(directory: &Utf8Path) -> Utf8PathBuf {
        let mut path = directory.as_str().to_owned();
        path.push_str(".lock");
        path.into()
    }

    /// Waits for the lock of a directory.
    pub(super) async fn acquire(directory: &Utf8Path, patience: Patience<'_>) -> Result<Self, LockError> {
        let lock = FileLock::acquire(&Self::path(directory), Mode::Exclusive, patience).await?;
        Ok(Self { _lock: lock })
    }
}

//! One pull at a time to one directory.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use std::fs::{File, TryLockError};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// How often the lock is asked for. The system can only wait for a lock in a blocking way.
const RETRY: Duration = Duration::from_millis(50);

/// Why the lock was not had.
#[derive(Debug)]
pub(super) enum LockError {
    File(io::Error),
    TimedOut,
    Cancelled,
}

/// The right to change a directory: held against the pulls of this worker, of other workers and of the SDK, which locks
/// the same file in the same way. Freed on drop, and by the system if the worker dies. The file stays.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// The file `<directory>.lock` beside a directory.
    pub(super) fn path(directory: &Utf8Path) -> Utf8PathBuf {
        let mut path = directory.as_str().to_owned();
        path.push_str(".lock");
        path.into()
    }

    /// Waits for the lock of a directory.
    pub(super) async fn acquire(
        directory: &Utf8Path,
        deadline: Instant,
        cancel: &CancellationToken,
    ) -> Result<Self, LockError> {
        let path = Self::path(directory);
        loop {
            if let Some(file) = attempt(&path).map_err(LockError::File)? {
                return Ok(Self { _file: file });
            }
            let next = Instant::now() + RETRY;
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(LockError::Cancelled),
                () = sleep_until(next.min(deadline)) => {}
            }
            if Instant::now() >= deadline {
                return Err(LockError::TimedOut);
            }
        }
    }
}

fn attempt(path: &Utf8Path) -> io::Result<Option<File>> {
    let file = fs::OpenOptions::new().create(true).append(true).open(path)?.into_file();
    match file.try_lock() {
        // Newer file locks of the SDK remove the file: a lock on a removed file excludes nobody.
        Ok(()) if file.metadata()?.nlink() == 0 => Ok(None),
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

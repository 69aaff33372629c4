//! Locks that the system frees when their holder dies.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use camino::Utf8Path;
use fs_err as fs;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::on_disk;

/// How often a lock is asked for. The system can only wait for one in a blocking way.
const RETRY: Duration = Duration::from_millis(50);

/// Why a lock was not had.
#[derive(Debug)]
pub(crate) enum LockError {
    File(io::Error),
    TimedOut,
    Cancelled,
}

/// Who else may hold the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Others who only read.
    Shared,
    /// Nobody.
    Exclusive,
}

/// How long a lock is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience<'a> {
    pub(crate) deadline: Instant,
    pub(crate) cancel: &'a CancellationToken,
}

/// A lock of an empty file, held against other processes too, until it is dropped or its process dies. The file stays.
#[derive(Debug)]
pub(crate) struct FileLock(File);

impl FileLock {
    /// Waits for the lock.
    pub(crate) async fn acquire(path: &Utf8Path, mode: Mode, patience: Patience<'_>) -> Result<Self, LockError> {
        loop {
            if let Some(lock) = Self::attempt(path, mode).map_err(LockError::File)? {
                return Ok(lock);
            }
            let next = Instant::now() + RETRY;
            tokio::select! {
                biased;
                () = patience.cancel.cancelled() => return Err(LockError::Cancelled),
                () = sleep_until(next.min(patience.deadline)) => {}
            }
            if Instant::now() >= patience.deadline {
                return Err(LockError::TimedOut);
            }
        }
    }

    /// Takes the lock if it is free. Makes the file if it is missing, but not its directory.
    pub(crate) fn attempt(path: &Utf8Path, mode: Mode) -> io::Result<Option<Self>> {
        let file = fs::OpenOptions::new().create(true).append(true).open(path)?.into_file();
        let locked = match mode {
            Mode::Shared => file.try_lock_shared(),
            Mode::Exclusive => file.try_lock(),
        };
        match locked {
            // The file was removed by its last holder: a lock on a removed file excludes nobody.
            Ok(()) if file.metadata()?.nlink() == 0 => Ok(None),
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Lets others read, too. None if somebody else was quicker.
    pub(crate) fn share(self) -> io::Result<Option<Self>> {
        match self.0.try_lock_shared() {
            Ok(()) => Ok(Some(self)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Does what may take long on a disk while the lock is held, also if the caller does not wait for the end.
    pub(crate) async fn during<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let held = self.lend()?;
        on_disk(move || {
            let done = work();
            drop(held);
            done
        })
        .await
    }

    /// The lock for a program to hold as well: until both have let go of it.
    pub(crate) fn lend(&self) -> io::Result<File> {
        self.0.try_clone()
    }
}

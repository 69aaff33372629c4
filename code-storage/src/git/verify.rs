//! Checking what the cache has of repositories.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use camino::Utf8Path;
use fs_err as fs;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::command::{Git, GitError};
use super::lfs;
use super::source::deadline_after;
use crate::PullOptions;
use crate::cache::{Cache, Entry, EntryKind, Mode, Slot};

impl Cache {
    /// Checks the mirrors and clones with `git fsck`, and the files of clones against their commits, and removes those that
    /// are damaged and not in use: they are made anew when a run needs them. Gives the damaged ones. What is being written to
    /// is passed over. The time limit of `options` is for all.
    ///
    /// # Errors
    ///
    /// The directory cannot be read, `git` cannot be run, or the time is up.
    pub async fn verify(&self, options: &PullOptions, cancel: &CancellationToken) -> io::Result<Vec<Entry>> {
        let git = Git::plain(options, deadline_after(options.time_limit), cancel);
        let mut damaged = Vec::new();
        for entry in self.list()? {
            if entry.kind != EntryKind::Objects && self.is_damaged(&git, &entry).await? {
                self.slot_of(&entry).remove_unused()?;
                damaged.push(entry);
            }
        }
        Ok(damaged)
    }

    async fn is_damaged(&self, git: &Git<'_>, entry: &Entry) -> io::Result<bool> {
        let slot = self.slot_of(entry);
        let Some(_lock) = slot.try_lock(Mode::Shared)? else { return Ok(false) };
        let content = slot.content();
        if !content.exists() {
            return Ok(false);
        }
        let check = ["fsck", "--connectivity-only", "--no-dangling", "--no-progress"];
        if answer(git.run(&content, &check).await)?.is_none() {
            return Ok(true);
        }
        Ok(entry.kind == EntryKind::Checkout && !are_files_whole(git, &slot).await?)
    }
}

/// Whether the files of a clone are those of its commit. They are read: what `git` knows of their sizes and times is set
/// aside, or it would take a file for unchanged whose content is not what was written.
async fn are_files_whole(git: &Git<'_>, slot: &Slot) -> io::Result<bool> {
    static CHECKS: AtomicU64 = AtomicU64::new(0);
    let content = slot.content();
    let mut status = vec!["status", "--porcelain", "--untracked-files=no", "--ignore-submodules=none"];
    if lfs::are_in(&content).await {
        if answer(lfs::is_installed(git, &content).await)? != Some(true) {
            return Ok(true);
        }
        status = lfs::with_filters(&status);
    }
    let number = CHECKS.fetch_add(1, Ordering::Relaxed);
    let index = slot.beside(&format!("index.{}.{number}", std::process::id()));
    if let Err(error) = copy_outdated(&content.join(".git/index"), &index) {
        fs::remove_file(&index).unwrap_or_default();
        return if error.kind() == io::ErrorKind::NotFound { Ok(false) } else { Err(error) };
    }
    let looked = Git { index: Some(&index), ..*git }.run(&content, &status).await;
    fs::remove_file(&index)?;
    Ok(answer(looked)?.is_some_and(|changed| changed.is_empty()))
}

/// Copies an index as if it were older than every file, so that `git` takes none of them for unchanged unread.
fn copy_outdated(from: &Utf8Path, to: &Utf8Path) -> io::Result<()> {
    fs::copy(from, to)?;
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    fs::OpenOptions::new().append(true).open(to)?.into_file().set_modified(long_ago)
}

/// What a command says; nothing if it fails.
fn answer<T>(answer: Result<T, GitError>) -> io::Result<Option<T>> {
    match answer {
        Ok(said) => Ok(Some(said)),
        Err(GitError::Failed(_)) => Ok(None),
        Err(GitError::Start(error)) => Err(error),
        Err(GitError::TimedOut) => Err(io::ErrorKind::TimedOut.into()),
        Err(GitError::Cancelled) => Err(io::ErrorKind::Interrupted.into()),
    }
}

impl<'a> Git<'a> {
    /// A `git` that has to do with no repository of others.
    fn plain(options: &'a PullOptions, deadline: Instant, cancel: &'a CancellationToken) -> Self {
        Self {
            options,
            deadline,
            cancel,
            local_submodules: false,
            login: None,
            quiet_ssh: false,
            skip_lfs: false,
            holding: None,
            index: None,
            keys: None,
        }
    }
}

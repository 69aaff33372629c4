//! From what `git` and the file system said to what the flow's author reads.

use std::io;
use std::time::Duration;

use camino::Utf8Path;

use super::GitClone;
use super::cached::CachedError;
use super::command::GitError;
use super::failure::Cause;
use super::worktree::StepError;
use crate::CodeError;
use crate::cache::{Cache, LockError, is_full_disk};

/// What the errors of one fetch have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Explain<'a> {
    pub(super) wanted: &'a GitClone,
    pub(super) into: &'a Utf8Path,
    pub(super) limit: Duration,
}

impl Explain<'_> {
    pub(super) fn step(&self, error: StepError) -> CodeError {
        match error {
            StepError::Submodules(GitError::Failed(failure))
                if !matches!(failure.cause, Cause::DiskFull | Cause::Unreachable) =>
            {
                CodeError::Submodules { repository: self.repository(), detail: failure.detail }
            }
            StepError::Lfs(GitError::Failed(failure))
                if !matches!(failure.cause, Cause::DiskFull | Cause::Unreachable) =>
            {
                CodeError::Lfs { repository: self.repository(), detail: failure.detail }
            }
            StepError::Repository(error) | StepError::Lfs(error) | StepError::Submodules(error) => self.git(error),
        }
    }

    pub(super) fn git(&self, error: GitError) -> CodeError {
        let repository = self.repository();
        let failure = match error {
            GitError::Start(source) if source.kind() == io::ErrorKind::NotFound => {
                return CodeError::GitMissing { repository };
            }
            GitError::Start(source) => return CodeError::GitStart { repository, source },
            GitError::TimedOut => return CodeError::TimedOut { repository, limit: self.limit },
            GitError::Cancelled => return CodeError::Cancelled { repository },
            GitError::Failed(failure) => failure,
        };
        let detail = failure.detail;
        match failure.cause {
            Cause::DiskFull => CodeError::DiskFull { repository, directory: self.into.to_owned() },
            Cause::RevisionMissing => {
                CodeError::RevisionMissing { repository, revision: self.wanted.revision.to_string(), detail }
            }
            Cause::HostKey => CodeError::HostKey { repository, detail },
            Cause::SshRefused => CodeError::SshRefused { repository, detail },
            Cause::Certificate => CodeError::Certificate { repository, detail },
            Cause::NotFound => CodeError::NotFound { repository, detail },
            Cause::Refused => CodeError::Refused { repository, detail },
            Cause::Unreachable => CodeError::Unreachable { repository, detail },
            Cause::Unknown => CodeError::Git { repository, detail },
        }
    }

    /// What `git` writes on the way to a cached clone goes to the cache.
    pub(super) fn cached(&self, error: CachedError, cache: &Cache) -> CodeError {
        match error {
            CachedError::Step(error) => Explain { into: cache.directory(), ..*self }.step(error),
            CachedError::Lock(path, error) => self.lock(&path, error),
            CachedError::Files(path, source) => self.files(&path, source),
        }
    }

    pub(super) fn lock(&self, path: &Utf8Path, error: LockError) -> CodeError {
        match error {
            LockError::File(source) => self.files(path, source),
            LockError::TimedOut => self.git(GitError::TimedOut),
            LockError::Cancelled => self.git(GitError::Cancelled),
        }
    }

    pub(super) fn files(&self, path: &Utf8Path, source: io::Error) -> CodeError {
        let repository = self.repository();
        if is_full_disk(&source) {
            CodeError::DiskFull { repository, directory: path.to_owned() }
        } else {
            CodeError::Files { repository, path: path.to_owned(), source }
        }
    }

    pub(super) fn repository(&self) -> String {
        self.wanted.repository.to_string()
    }
}

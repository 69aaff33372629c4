//! A git repository as a source of code: attempts, and the choice between a new clone and an update.

use std::time::Duration;

use async_trait::async_trait;
use camino::Utf8Path;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::command::{Git, GitError};
use super::explain::Explain;
use super::failure::{Cause, without_userinfo};
use super::lock::DirectoryLock;
use super::placement::{Found, Placement, look};
use super::worktree::{self, StepError};
use crate::plan::{GitClone, Repository, Revision};
use crate::{Checkout, CodeError, CodeSource, PullOptions};

/// A state of a git repository.
///
/// A directory that is already a clone of the repository is brought up to date: tracked files are reset, others stay.
/// Fetches to one directory take turns, across processes and with the SDK's own.
#[derive(Clone, Debug)]
pub struct GitSource {
    wanted: GitClone,
    options: PullOptions,
}

impl GitSource {
    /// A source for what a `git_clone` step asks for. The time limit of `options` is for each fetch.
    pub fn new(wanted: GitClone, options: PullOptions) -> Self {
        Self { wanted, options }
    }
}

#[async_trait]
impl CodeSource for GitSource {
    async fn fetch(&self, into: &Utf8Path, cancel: &CancellationToken) -> Result<Checkout, CodeError> {
        let fetch = Fetch {
            wanted: &self.wanted,
            into,
            git: Git {
                options: &self.options,
                deadline: deadline_after(self.options.time_limit),
                cancel,
                local_submodules: self.wanted.repository.is_local(),
            },
            explain: Explain { wanted: &self.wanted, into, limit: self.options.time_limit },
        };
        fetch.in_attempts().await.map(|revision| Checkout { root: into.to_owned(), revision })
    }
}

/// A limit beyond what the clock can express is as good as this one.
const LONGEST_LIMIT: Duration = Duration::from_hours(24 * 365);

fn deadline_after(limit: Duration) -> Instant {
    Instant::now() + limit.min(LONGEST_LIMIT)
}

/// One fetch, with its clock running.
struct Fetch<'a> {
    wanted: &'a GitClone,
    into: &'a Utf8Path,
    git: Git<'a>,
    explain: Explain<'a>,
}

impl Fetch<'_> {
    async fn in_attempts(&self) -> Result<String, CodeError> {
        let _lock = DirectoryLock::acquire(self.into, self.git.deadline, self.git.cancel)
            .await
            .map_err(|error| self.explain.lock(error))?;
        let mut failed = 0;
        loop {
            let error = match self.attempt().await {
                Ok(revision) => return Ok(revision),
                Err(error) => error,
            };
            failed += 1;
            let next = Instant::now() + self.git.options.back_off_after(failed);
            if !error.is_transient() || failed >= self.git.options.attempts || next >= self.git.deadline {
                return Err(error);
            }
            warn!(%error, failed, "a pull failed and is tried again");
            tokio::select! {
                biased;
                () = self.git.cancel.cancelled() => return Err(self.explain.git(GitError::Cancelled)),
                () = sleep_until(next) => {}
            }
        }
    }

    async fn attempt(&self) -> Result<String, CodeError> {
        match look(self.into).await.map_err(|source| self.explain.files(self.into, source))? {
            Found::Nothing => self.clone_anew(false).await,
            Found::Other => {
                Err(CodeError::Occupied { repository: self.explain.repository(), directory: self.into.to_owned() })
            }
            Found::Clone => {
                self.check_origin().await?;
                match worktree::update(&self.git, self.wanted, self.into).await {
                    Ok(revision) => Ok(revision),
                    Err(error) if self.is_worth_cloning_anew(&error) => {
                        warn!(directory = %self.into, ?error, "a clone cannot be updated and is made anew");
                        self.clone_anew(true).await
                    }
                    Err(error) => Err(self.explain.step(error)),
                }
            }
        }
    }

    /// A clone of something else may be dear to somebody: it is neither changed nor removed.
    async fn check_origin(&self) -> Result<(), CodeError> {
        let origin = worktree::origin(&self.git, self.into).await.map_err(|error| self.explain.git(error))?;
        if origin.as_deref().is_some_and(|origin| is_origin(&self.wanted.repository, origin, self.into)) {
            return Ok(());
        }
        Err(CodeError::OtherOrigin {
            repository: self.explain.repository(),
            directory: self.into.to_owned(),
            origin: origin.map_or_else(|| "an unknown repository".to_owned(), |origin| without_userinfo(&origin)),
        })
    }

    /// Whether an update failed for a reason that may lie in the old clone: it is damaged, or too shallow to find a
    /// shortened commit id in.
    fn is_worth_cloning_anew(&self, error: &StepError) -> bool {
        let (failure, missing_here) = match error {
            StepError::Repository(GitError::Failed(failure)) => {
                (failure, matches!(self.wanted.revision, Revision::Commit(_)))
            }
            StepError::Submodules(GitError::Failed(failure)) => (failure, true),
            StepError::Repository(_) | StepError::Submodules(_) => return false,
        };
        match failure.cause {
            Cause::Unknown => true,
            Cause::RevisionMissing => missing_here,
            Cause::DiskFull | Cause::NotFound | Cause::Refused | Cause::Unreachable => false,
        }
    }

    async fn clone_anew(&self, occupied: bool) -> Result<String, CodeError> {
        let placement = Placement::of(self.into);
        placement.clear().await.map_err(|source| self.explain.files(&placement.partial, source))?;
        let installed = match worktree::clone(&self.git, self.wanted, &placement.partial).await {
            Ok(revision) => {
                let renamed = placement.install(occupied).await;
                renamed.map(|()| revision).map_err(|source| self.explain.files(self.into, source))
            }
            Err(error) => Err(self.explain.step(error)),
        };
        if installed.is_err() {
            placement.abandon().await;
        }
        installed
    }
}

/// Whether a clone's origin is the repository, setting aside a login that the SDK has put into the origin's URL. For a
/// path, `git` stores the absolute one.
fn is_origin(repository: &Repository, origin: &str, into: &Utf8Path) -> bool {
    if repository.is_path() {
        return into.parent().is_some_and(|parent| parent.join(repository.as_str()) == Utf8Path::new(origin));
    }
    let without_login = match origin.split_once("://") {
        Some((scheme, rest)) => {
            let authority = rest.split('/').next().unwrap_or_default();
            match authority.rfind('@').and_then(|at| rest.get(at + 1..)) {
                Some(rest) => format!("{scheme}://{rest}"),
                None => origin.to_owned(),
            }
        }
        None => origin.to_owned(),
    };
    repository.as_str() == without_login
}

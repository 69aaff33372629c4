//! A git repository as a source of code: attempts, and the choice between a new clone and an update.

use std::time::Duration;

use async_trait::async_trait;
use camino::Utf8Path;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use worker_core::policy::{Objection, RequiredSignature};

use super::cached::{Cached, Got};
use super::command::{Git, GitError};
use super::explain::Explain;
use super::failure::{Cause, without_userinfo};
use super::lock::DirectoryLock;
use super::placement::{Found, Placement, look};
use super::signature;
use super::tip;
use super::worktree::{self, StepError};
use super::{GitClone, Repository, Revision};
use crate::cache::{on_disk, remove};
use crate::{Checkout, CodeError, CodeSource, PullOptions};

/// A state of a git repository.
///
/// A directory that is already a clone of the repository is brought up to date: tracked files are reset, others stay.
/// Fetches to one directory take turns, across workers; the SDK's own lock is another.
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

    /// Asks the repository where what is wanted is, and so whether the login may read it: with one try, and without
    /// bringing anything. None for a path that depends on where the pull begins.
    ///
    /// # Errors
    ///
    /// As for [`CodeSource::fetch`].
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time: the program is killed.
    pub async fn look(&self, cancel: &CancellationToken) -> Result<Option<String>, CodeError> {
        let repository = &self.wanted.repository;
        if repository.is_path() && !repository.as_str().starts_with('/') {
            return Ok(None);
        }
        let mut fetch = self.begin(Utf8Path::new("/"), cancel);
        fetch.check_login()?;
        fetch.choose_ssh().await?;
        let tip = tip::look_up(&fetch.git, repository, &self.wanted.revision).await;
        let tip = tip.map_err(|error| fetch.explain.git(error))?;
        Ok(Some(match &self.wanted.revision {
            // Servers do not say whether they have a commit until it is fetched.
            Revision::Commit(_) => format!("{repository} can be read"),
            revision @ (Revision::DefaultBranch | Revision::Branch(_)) => {
                format!("{repository} has {revision} at {}", tip.commit())
            }
        }))
    }

    fn begin<'a>(&'a self, into: &'a Utf8Path, cancel: &'a CancellationToken) -> Fetch<'a> {
        Fetch {
            wanted: &self.wanted,
            into,
            git: Git {
                options: &self.options,
                deadline: deadline_after(self.options.time_limit),
                cancel,
                local_submodules: self.wanted.repository.is_local(),
                login: self.wanted.login.as_ref(),
                quiet_ssh: false,
                skip_lfs: false,
                holding: None,
                index: None,
                keys: None,
            },
            explain: Explain { wanted: &self.wanted, into, limit: self.options.time_limit },
        }
    }
}

#[async_trait]
impl CodeSource for GitSource {
    async fn fetch(&self, into: &Utf8Path, cancel: &CancellationToken) -> Result<Checkout, CodeError> {
        let mut fetch = self.begin(into, cancel);
        fetch.check_login()?;
        fetch.choose_ssh().await?;
        let got = fetch.in_attempts().await?;
        Ok(Checkout {
            root: into.to_owned(),
            source: self.wanted.repository.to_string(),
            revision: got.commit,
            stale: got.stale,
            without_network: got.without_network,
            reported: got.reported,
        })
    }
}

/// A limit beyond what the clock can express is as good as this one.
const LONGEST_LIMIT: Duration = Duration::from_hours(24 * 365);

pub(super) fn deadline_after(limit: Duration) -> Instant {
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
    fn check_login(&self) -> Result<(), CodeError> {
        match &self.wanted.login {
            Some(login) if !login.fits_a_line() => {
                Err(CodeError::Login { repository: self.explain.repository(), problem: "has control characters in it" })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// An operator who has given a command for `ssh` has decided how it asks and whom it trusts.
    async fn choose_ssh(&mut self) -> Result<(), CodeError> {
        let given = ["GIT_SSH_COMMAND", "GIT_SSH"].iter().any(|given| self.git.options.env.contains_key(*given));
        if given || !(self.wanted.repository.is_ssh() || self.wanted.include_submodules) {
            return Ok(());
        }
        let anywhere = Utf8Path::new("/");
        let configured = self.git.ask(anywhere, &["config", "--get", "core.sshCommand"]).await;
        self.git.quiet_ssh = configured.map_err(|error| self.explain.git(error))?.is_none();
        Ok(())
    }

    async fn in_attempts(&self) -> Result<Got, CodeError> {
        let _lock = DirectoryLock::acquire(self.into, self.git.patience())
            .await
            .map_err(|error| self.explain.lock(&DirectoryLock::path(self.into), error))?;
        let mut failed = 0;
        loop {
            let next = Instant::now() + self.git.options.back_off_after(failed + 1);
            let is_last = failed + 1 >= self.git.options.attempts || next >= self.git.deadline;
            let error = match self.attempt(is_last).await {
                Ok(got) => return Ok(got),
                Err(error) => error,
            };
            failed += 1;
            let next = Instant::now() + self.git.options.back_off_after(failed);
            if !error.is_transient() || is_last || next >= self.git.deadline {
                return Err(error);
            }
            warn!(%error, failed, "a pull failed and is tried again");
            self.git.in_time(sleep_until(next)).await.map_err(|error| self.explain.git(error))?;
        }
    }

    async fn attempt(&self, is_last: bool) -> Result<Got, CodeError> {
        match look(self.into).await.map_err(|source| self.explain.files(self.into, source))? {
            Found::Nothing => self.clone_anew(false, is_last).await,
            Found::Other => {
                Err(CodeError::Occupied { repository: self.explain.repository(), directory: self.into.to_owned() })
            }
            Found::Clone => {
                let reported = self.objections_to_old_clone()?;
                self.check_origin().await?;
                match worktree::update(&self.git, self.wanted, self.into).await {
                    Ok(got) => Ok(Got { reported, ..got }),
                    Err(error) if self.is_worth_cloning_anew(&error) => {
                        warn!(directory = %self.into, ?error, "a clone cannot be updated and is made anew");
                        self.clone_anew(true, is_last).await
                    }
                    Err(error) => Err(self.explain.step(error)),
                }
            }
        }
    }

    /// A clone of something else may be dear to somebody: it is neither changed nor removed.
    async fn check_origin(&self) -> Result<(), CodeError> {
        let origin = worktree::origin(&self.git, self.into).await.map_err(|error| self.explain.git(error))?;
        let repository = &self.wanted.repository;
        if let Some(origin) = origin.as_deref().filter(|origin| is_origin(repository, origin, self.into)) {
            if !repository.is_path() && origin != repository.as_str() {
                // The SDK writes the login into it. An old one there would be used instead of the run's.
                let set = ["remote", "set-url", "--", "origin", repository.as_str()];
                self.git.run(self.into, &set).await.map_err(|error| self.explain.git(error))?;
            }
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
            StepError::Repository(_) | StepError::Submodules(_) | StepError::Lfs(_) => return false,
        };
        match failure.cause {
            Cause::Unknown => true,
            Cause::RevisionMissing => missing_here,
            Cause::DiskFull
            | Cause::HostKey
            | Cause::SshRefused
            | Cause::Certificate
            | Cause::NotFound
            | Cause::Refused
            | Cause::Unreachable => false,
        }
    }

    async fn clone_anew(&self, occupied: bool, is_last: bool) -> Result<Got, CodeError> {
        let placement = Placement::of(self.into);
        placement.clear().await.map_err(|source| self.explain.files(&placement.partial, source))?;
        let verified = match self.clone_to(&placement.partial, is_last).await {
            Ok(got) => self.verified(&placement.partial, got).await,
            Err(error) => Err(error),
        };
        let installed = match verified {
            Ok(got) => {
                let renamed = placement.install(occupied).await;
                renamed.map(|()| got).map_err(|source| self.explain.files(self.into, source))
            }
            Err(error) => Err(error),
        };
        if installed.is_err() {
            placement.abandon().await;
        }
        installed
    }

    /// What is checked out has to be signed, where a rule says so, before it gets its name.
    async fn verified(&self, clone: &Utf8Path, got: Got) -> Result<Got, CodeError> {
        let objections = signature::objections(&self.git, self.wanted, clone, &got.commit).await;
        let reported = permitted(objections.map_err(|error| self.explain.git(error))?)?;
        Ok(Got { reported, ..got })
    }

    /// A clone that was there before may hold files of anybody's, which an update leaves there.
    fn objections_to_old_clone(&self) -> Result<Vec<Objection>, CodeError> {
        let objection = |required: &RequiredSignature| {
            let why = format!(
                "the directory {} is a clone already, in which nobody can tell what was signed, and \
                 `repositories.signed_by` wants all of it signed; clone to a directory of the run's own",
                self.into
            );
            (required.only_reports, signature::objection(required, why))
        };
        permitted(self.git.options.signatures.iter().map(objection).collect())
    }

    /// A disk that the cache has filled is freed of what nobody uses; if that is not enough, the run's own clone takes less than
    /// what the cache would keep.
    async fn clone_to(&self, directory: &Utf8Path, is_last: bool) -> Result<Got, CodeError> {
        // A path is read where it is, and a relative one means something else to each run.
        let Some(cache) = self.git.options.cache.as_ref().filter(|_| !self.wanted.repository.is_path()) else {
            return self.clone_uncached(directory).await;
        };
        let settle_for_stale = self.git.options.offline_fallback && is_last;
        let cached = Cached { git: self.git, cache, wanted: self.wanted, settle_for_stale };
        let mut ended = cached.clone_to(directory).await;
        if ended.as_ref().is_err_and(|error| error.is_full_disk_of(cache)) && cache.make_room().await {
            self.clear(directory).await?;
            ended = cached.clone_to(directory).await;
        }
        match ended {
            Err(error) if error.is_full_disk_of(cache) => {
                warn!(repository = %self.wanted.repository, "the disk is full: the repository is pulled without the cache");
                // What the cache kept of the repository itself may be what fills it.
                cache.make_room().await;
                self.clear(directory).await?;
                self.clone_uncached(directory).await
            }
            ended => ended.map_err(|error| self.explain.cached(error, cache)),
        }
    }

    /// Removes what was copied before the disk was full.
    async fn clear(&self, directory: &Utf8Path) -> Result<(), CodeError> {
        let partial = directory.to_owned();
        on_disk(move || remove(&partial)).await.map_err(|source| self.explain.files(directory, source))
    }

    async fn clone_uncached(&self, directory: &Utf8Path) -> Result<Got, CodeError> {
        worktree::clone(&self.git, self.wanted, directory).await.map_err(|error| self.explain.step(error))
    }
}

/// What rules report, unless one refuses.
fn permitted(objections: Vec<(bool, Objection)>) -> Result<Vec<Objection>, CodeError> {
    let allow = |(only_reports, objection): (bool, Objection)| {
        if only_reports { Ok(objection) } else { Err(CodeError::Unsigned(Box::new(objection))) }
    };
    objections.into_iter().map(allow).collect()
}

/// Whether a clone's origin is the repository, setting aside a login that the SDK has put into the origin's URL. For a
/// path, `git` stores the absolute one.
fn is_origin(repository: &Repository, origin: &str, into: &Utf8Path) -> bool {
    if repository.is_path() {
        return into.parent().is_some_and(|parent| parent.join(repository.as_str()) == Utf8Path::new(origin));
    }
    without_user(repository.as_str()) == without_user(origin)
}

fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rfind('@').and_then(|at| rest.get(at + 1..)) {
        Some(rest) => format!("{scheme}://{rest}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_of_a_clone_is_its_repository_whoever_logged_in() {
        for (repository, origin, expected) in [
            ("ssh://git@h.test/r", "ssh://git@h.test/r", true),
            ("https://h.test/r", "https://oauth2:token@h.test/r", true),
            ("git@h.test:team/r", "git@h.test:team/r", true),
            ("https://h.test/r", "https://h.test/other", false),
            ("https://h.test/r", "http://h.test/r", false),
        ] {
            let (parsed, _) = Repository::parse(repository).unwrap();
            assert_eq!(is_origin(&parsed, origin, Utf8Path::new("/run/code")), expected, "{repository} {origin}");
        }
    }
}

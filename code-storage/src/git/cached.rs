//! A clone that is made of the cache: the server is asked for the commit, and for what of it is not there yet.
//!
//! For each commit that runs use, the cache has a complete shallow clone. A run gets a copy of it, which costs no `git`
//! and shares nothing with the cache, so neither can harm the other.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use tracing::warn;
use worker_core::policy::Objection;

use super::command::{Git, GitError};
use super::failure::{Cause, Failure};
use super::lfs::{self, LargeFiles};
use super::mirror::{Mirror, MirrorError, PROOF, object_format};
use super::tip::{Head, Tip, look_up};
use super::trim::trim;
use super::worktree::StepError;
use super::{GitClone, Revision};
use crate::cache::{
    Cache, EntryKind, FileLock, LockError, Mode, Record, Slot, copy, is_full_disk, remove, size_of, sync,
};

/// The mark of an entry that was made while Git LFS was not installed.
const POINTERS: &str = "pointers";

/// Why there is no clone.
#[derive(Debug)]
pub(super) enum CachedError {
    Step(StepError),
    Lock(Utf8PathBuf, LockError),
    Files(Utf8PathBuf, io::Error),
}

impl CachedError {
    /// Whether the disk is full on which the cache is.
    pub(super) fn is_full_disk_of(&self, cache: &Cache) -> bool {
        match self {
            Self::Step(StepError::Repository(error) | StepError::Submodules(error) | StepError::Lfs(error)) => {
                matches!(error, GitError::Failed(failure) if failure.cause == Cause::DiskFull)
            }
            Self::Lock(path, LockError::File(error)) | Self::Files(path, error) => {
                is_full_disk(error) && cache.shares_disk(path)
            }
            Self::Lock(..) => false,
        }
    }
}

impl From<GitError> for CachedError {
    fn from(error: GitError) -> Self {
        Self::Step(error.into())
    }
}

impl From<MirrorError> for CachedError {
    fn from(error: MirrorError) -> Self {
        match error {
            MirrorError::Git(error) => error.into(),
            MirrorError::Lock(path, error) => Self::Lock(path, error),
            MirrorError::Files(path, error) => Self::Files(path, error),
        }
    }
}

/// What was cloned, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Got {
    pub(super) commit: String,
    pub(super) stale: bool,
    pub(super) without_network: bool,
    /// What rules object to that only report.
    pub(super) reported: Vec<Objection>,
}

/// A commit to clone.
struct Resolved {
    tip: Tip,
    stale: bool,
    asked: bool,
}

/// One clone by way of the cache.
#[derive(Debug)]
pub(super) struct Cached<'a> {
    pub(super) git: Git<'a>,
    pub(super) cache: &'a Cache,
    pub(super) wanted: &'a GitClone,
    /// Whether what was last known will do if the server cannot be reached.
    pub(super) settle_for_stale: bool,
}

impl Cached<'_> {
    /// Clones into `directory`, which does not exist.
    pub(super) async fn clone_to(&self, directory: &Utf8Path) -> Result<Got, CachedError> {
        let mirror = Mirror::of(self.git, self.cache, &self.wanted.repository);
        let resolved = match &self.wanted.revision {
            Revision::Commit(id) => self.resolve_commit(&mirror, id).await?,
            Revision::DefaultBranch | Revision::Branch(_) => self.resolve_name(&mirror).await?,
        };
        let tip = &resolved.tip;
        let slot = self.slot(&mirror, tip);
        let (mut asked, mut grown) = (resolved.asked, false);
        // It may be removed between its making and its use, but hardly twice.
        for _ in 0..3 {
            let mut lock = self.lock_whole(&slot).await?;
            if lock.is_none() {
                let used_network;
                (lock, used_network) = self.fill(&mirror, &slot, tip).await?;
                asked |= used_network;
                grown = true;
            }
            let Some(lock) = lock else { continue };
            let copied = self.git.in_time(copy(&slot.content(), directory, self.git.cancel)).await?;
            copied.map_err(|error| CachedError::Files(directory.to_owned(), error))?;
            slot.touch();
            drop(lock);
            if grown {
                self.cache.tidy().await;
            }
            return Ok(Got {
                commit: tip.commit.clone(),
                stale: resolved.stale,
                without_network: !asked,
                reported: Vec::new(),
            });
        }
        Err(CachedError::Files(slot.content(), io::ErrorKind::NotFound.into()))
    }

    /// The right to read an entry that is whole.
    async fn lock_whole(&self, slot: &Slot) -> Result<Option<FileLock>, CachedError> {
        let lock = slot.lock(Mode::Shared, self.git.patience()).await;
        let lock = lock.map_err(|error| CachedError::Lock(slot.content(), error))?;
        Ok(self.is_whole(slot).await?.then_some(lock))
    }

    /// Whether there is a clone to copy. One with pointers in the place of large files will do as long as nobody can bring the
    /// files.
    async fn is_whole(&self, slot: &Slot) -> Result<bool, GitError> {
        let content = slot.content();
        Ok(content.exists() && !(slot.beside(POINTERS).exists() && lfs::is_installed(&self.git, &content).await?))
    }

    async fn look_up(&self, mirror: &Mirror<'_>) -> Result<Tip, GitError> {
        let question = self.cache.lookups().get(&mirror.question(&self.wanted.revision));
        let seek = async || match look_up(&self.git, &self.wanted.repository, &self.wanted.revision).await {
            Ok(tip) => {
                if let Err(error) = mirror.prove(&self.wanted.revision, &tip) {
                    warn!(repository = %self.wanted.repository, %error, "the cache does not know who may read a repository");
                }
                Ok(Ok(tip))
            }
            Err(GitError::Failed(failure)) => Ok(Err(failure)),
            Err(error) => Err(error),
        };
        self.git.in_time(question.get(seek)).await??.map_err(GitError::Failed)
    }

    async fn resolve_name(&self, mirror: &Mirror<'_>) -> Result<Resolved, CachedError> {
        let failed = match self.look_up(mirror).await {
            Ok(tip) => return Ok(Resolved { tip, stale: false, asked: true }),
            Err(failed) => failed,
        };
        if self.settle_for_stale
            && is_unreachable(&failed)
            && mirror.is_proven(None)
            && let Some(tip) = mirror.remembered(&self.wanted.revision)
        {
            let (repository, commit) = (&self.wanted.repository, &tip.commit);
            warn!(%repository, commit, "the repository cannot be reached: the last known commit is used");
            return Ok(Resolved { tip, stale: true, asked: true });
        }
        Err(failed.into())
    }

    /// A commit that is here needs no server, if the login was able to read the repository lately: knowing the id is not
    /// enough.
    async fn resolve_commit(&self, mirror: &Mirror<'_>, id: &str) -> Result<Resolved, CachedError> {
        let id = id.to_ascii_lowercase();
        let mut asked = false;
        if !mirror.is_proven(Some(PROOF)) {
            asked = true;
            match self.look_up(mirror).await {
                Err(failed) if self.settle_for_stale && is_unreachable(&failed) && mirror.is_proven(None) => {}
                looked_up => drop(looked_up?),
            }
        }
        let tip = Tip::of_commit(&id);
        if self.slot(mirror, &tip).content().exists() {
            return Ok(Resolved { tip, stale: false, asked });
        }
        let (commit, fetched) = mirror.ensure(&id).await?;
        Ok(Resolved { tip: Tip::of_commit(&commit), stale: false, asked: asked || fetched })
    }

    /// The place of the clone that runs get copies of. Submodules are of other repositories, which not everybody who may
    /// read this one may read.
    fn slot(&self, mirror: &Mirror<'_>, tip: &Tip) -> Slot {
        let GitClone { repository, include_submodules, directories, .. } = self.wanted;
        let reader = if *include_submodules { mirror.reader() } else { "" };
        let identity = format!("{repository}\0{tip:?}\0{directories:?}\0{include_submodules}\0{reader}");
        self.cache.slot(EntryKind::Checkout, repository.last_segment(), &identity)
    }

    /// Makes the clone that runs get copies of, and gives the right to read it unless somebody else was quicker. Says
    /// whether a server was asked for something.
    async fn fill(&self, mirror: &Mirror<'_>, slot: &Slot, tip: &Tip) -> Result<(Option<FileLock>, bool), CachedError> {
        let turns = self.cache.turns(slot);
        let _turn = self.git.in_time(turns.lock()).await?;
        if self.is_whole(slot).await? {
            return Ok((None, false));
        }
        let (_, mut asked) = match mirror.ensure(&tip.object).await {
            Err(MirrorError::Git(GitError::Failed(failure)))
                if failure.cause == Cause::RevisionMissing && tip.head != Head::Detached =>
            {
                // It was there a moment ago: the branch was moved meanwhile. The next attempt finds its new tip.
                return Err(GitError::Failed(Failure { cause: Cause::Unknown, ..failure }).into());
            }
            ensured => ensured?,
        };
        let files = |error| CachedError::Files(slot.content(), error);
        let lock = slot.lock(Mode::Exclusive, self.git.patience()).await;
        let lock = lock.map_err(|error| CachedError::Lock(slot.content(), error))?;
        if self.is_whole(slot).await? {
            return Ok((None, asked));
        }
        let partial = slot.partial();
        let made = match self.make(mirror, &partial, tip, &lock).await {
            Err(Unmade::Mirror(error)) if is_worth_a_new_mirror(&error) => {
                warn!(repository = %self.wanted.repository, ?error, "the mirror is damaged and is made anew");
                asked = true;
                mirror.rebuild(&tip.object).await?;
                mirror.ensure(&tip.object).await?;
                self.make(mirror, &partial, tip, &lock).await
            }
            made => made,
        };
        let large = match made {
            Ok(large) => large,
            Err(unmade) => {
                // On a full disk it would be in the way of what comes next.
                lock.during(move || remove(&partial)).await.unwrap_or_default();
                return Err(unmade.into_cached());
            }
        };
        asked |= large == LargeFiles::Brought || self.wanted.include_submodules;
        self.keep(slot, large, &lock).await.map_err(files)?;
        Ok((lock.share().map_err(files)?, asked))
    }

    /// Gives a clone that is whole its name.
    async fn keep(&self, slot: &Slot, large: LargeFiles, lock: &FileLock) -> io::Result<()> {
        let (source, slot) = (self.wanted.repository.to_string(), slot.clone());
        let keep = move || {
            // One with pointers only may be there.
            remove(&slot.content())?;
            let mark = slot.beside(POINTERS);
            match large {
                LargeFiles::Pointers => fs::write(&mark, "")?,
                LargeFiles::None | LargeFiles::Brought if mark.exists() => fs::remove_file(&mark)?,
                LargeFiles::None | LargeFiles::Brought => {}
            }
            // A machine that loses its power must not come back with a clone that has empty files in it.
            sync(&slot.partial())?;
            fs::rename(slot.partial(), slot.content())?;
            let size = size_of(&slot.content())?;
            slot.record(&Record { source, size })
        };
        lock.during(keep).await
    }

    async fn make(
        &self,
        mirror: &Mirror<'_>,
        partial: &Utf8Path,
        tip: &Tip,
        lock: &FileLock,
    ) -> Result<LargeFiles, Unmade> {
        let other = |error: GitError| Unmade::Other(error.into());
        let files = |error| Unmade::Other(CachedError::Files(partial.to_owned(), error));
        let left = partial.to_owned();
        lock.during(move || remove(&left)).await.map_err(files)?;
        fs::create_dir(partial).map_err(files)?;
        let with_login = self.git.holding(lock);
        let git = with_login.without_login();
        let (reference, branch) = match &tip.head {
            Head::Branch(name) => (format!("refs/remotes/origin/{name}"), name.as_str()),
            Head::Tag(name) => (format!("refs/tags/{name}"), "main"),
            Head::Detached => ("refs/remotes/origin/HEAD".to_owned(), "main"),
        };
        // Without a template's samples of hooks, which would be copied for every run.
        let format = object_format(&tip.object);
        let init = ["init", "--quiet", "--template=", format, "--initial-branch", branch, "."];
        git.run(partial, &init).await.map_err(other)?;
        let url = self.wanted.repository.as_str();
        git.run(partial, &["remote", "add", "--", "origin", url]).await.map_err(other)?;
        self.take_objects(mirror, partial, tip).await?;
        git.run(partial, &["update-ref", &reference, &tip.object]).await.map_err(other)?;
        if !self.wanted.directories.is_empty() {
            let mut sparse = vec!["sparse-checkout", "set", "--"];
            sparse.extend(self.wanted.directories.iter().map(String::as_str));
            git.run(partial, &sparse).await.map_err(other)?;
        }
        let mut check_out = vec!["checkout", "--quiet", "--force"];
        match &tip.head {
            Head::Branch(name) => check_out.extend(["-B", name]),
            Head::Tag(_) | Head::Detached => check_out.push("--detach"),
        }
        check_out.push(&reference);
        // Large files come later, with the login.
        git.skipping_lfs().run(partial, &check_out).await.map_err(other)?;
        if tip.head == Head::Detached {
            // A name that `git` takes for the default branch of the remote.
            git.run(partial, &["update-ref", "-d", &reference]).await.map_err(other)?;
        }
        let step = |error: StepError| Unmade::Other(CachedError::Step(error));
        if self.wanted.include_submodules {
            super::worktree::update_submodules(&with_login, partial).await.map_err(step)?;
        }
        let large = lfs::complete(&with_login, self.wanted, partial).await.map_err(step)?;
        git.run(partial, &["pack-refs", "--all"]).await.map_err(other)?;
        let clone = partial.to_owned();
        lock.during(move || trim(&clone)).await.map_err(files)?;
        Ok(large)
    }
}

impl Cached<'_> {
    /// Puts the commit without its history into a new repository. As a pack written at once: a fetch from the mirror would
    /// unpack and check every object again, which for large repositories takes four times as long. Objects that are
    /// taken over as they are packed are checked by their sums.
    async fn take_objects(&self, mirror: &Mirror<'_>, partial: &Utf8Path, tip: &Tip) -> Result<(), Unmade> {
        let files = |error| Unmade::Other(CachedError::Files(partial.to_owned(), error));
        let held = mirror.hold().await.map_err(|error| Unmade::Other(error.into()))?;
        if !mirror.is_there() {
            // It was removed between the fetch and this.
            let detail = "its mirror is gone".to_owned();
            return Err(Unmade::Mirror(GitError::Failed(Failure { cause: Cause::Unknown, detail })));
        }
        let wanted = partial.join(".git/wanted");
        fs::write(&wanted, format!("--shallow {}\n{}\n", tip.commit, tip.object)).map_err(files)?;
        let input = fs::File::open(&wanted).map_err(files)?.into_file();
        let pack = partial.join(".git/objects/pack/pack");
        let write = [
            "-c",
            "pack.writeReverseIndex=false",
            "pack-objects",
            "--quiet",
            "--revs",
            "--delta-base-offset",
            pack.as_str(),
        ];
        let git = self.git.without_login();
        git.run_reading(&mirror.path(), &write, input).await.map_err(Unmade::Mirror)?;
        drop(held);
        fs::remove_file(&wanted).map_err(files)?;
        fs::write(partial.join(".git/shallow"), format!("{}\n", tip.commit)).map_err(files)
    }
}

/// Why the clone to copy was not made: reading the mirror failed, or something else did.
enum Unmade {
    Mirror(GitError),
    Other(CachedError),
}

impl Unmade {
    fn into_cached(self) -> CachedError {
        match self {
            Self::Mirror(error) => error.into(),
            Self::Other(error) => error,
        }
    }
}

fn is_worth_a_new_mirror(error: &GitError) -> bool {
    matches!(error, GitError::Failed(failure) if failure.cause != Cause::DiskFull)
}

fn is_unreachable(error: &GitError) -> bool {
    matches!(error, GitError::Failed(failure) if failure.cause == Cause::Unreachable)
}

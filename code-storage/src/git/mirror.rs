//! A bare mirror of a repository in the cache: the commits that were wanted, without their history unless that was needed.

use std::io;
use std::time::{Duration, SystemTime};

use camino::Utf8PathBuf;
use fs_err as fs;
use tracing::warn;

use super::command::{Git, GitError};
use super::failure::{Cause, Failure};
use super::tip::Tip;
use super::{Repository, Revision};
use crate::cache::{
    Cache, EntryKind, FileLock, LockError, Mode, Record, Slot, on_disk, remove, replace, short_digest, size_of,
};

/// How long a login that could read the repository is taken to be able to.
pub(super) const PROOF: Duration = Duration::from_hours(24);

/// How often a proof is written anew.
const PROOF_RENEWAL: Duration = Duration::from_hours(1);

/// From so many packs on they are merged.
const PACKS: usize = 10;

/// Why the mirror is not as wanted.
#[derive(Debug)]
pub(super) enum MirrorError {
    Git(GitError),
    Lock(Utf8PathBuf, LockError),
    Files(Utf8PathBuf, io::Error),
}

impl From<GitError> for MirrorError {
    fn from(error: GitError) -> Self {
        Self::Git(error)
    }
}

/// The mirror of a repository, whether it is there or not.
#[derive(Debug)]
pub(super) struct Mirror<'a> {
    git: Git<'a>,
    cache: &'a Cache,
    repository: &'a Repository,
    slot: Slot,
    /// Stands for the login, and for what else decides what the server lets a run read.
    reader: String,
}

impl<'a> Mirror<'a> {
    pub(super) fn of(git: Git<'a>, cache: &'a Cache, repository: &'a Repository) -> Self {
        let slot = cache.slot(EntryKind::Git, repository.last_segment(), repository.as_str());
        let mut reader = git.login.map(|login| format!("{}\0{}", login.username(), login.secret())).unwrap_or_default();
        for (variable, value) in &git.options.env {
            if variable.starts_with("GIT_") || ["HOME", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK"].contains(&variable.as_str())
            {
                reader.extend(["\0", variable, "=", value]);
            }
        }
        Self { git, cache, repository, slot, reader: cache.seal(&reader) }
    }

    /// Stands for who reads what of the repository, among the questions to its server.
    pub(super) fn question(&self, revision: &Revision) -> String {
        format!("{}\0{}\0{revision:?}", self.repository, self.reader)
    }

    pub(super) fn reader(&self) -> &str {
        &self.reader
    }

    /// The directory of the mirror.
    pub(super) fn path(&self) -> Utf8PathBuf {
        self.slot.content()
    }

    /// Whether there is a mirror, for the one who holds it.
    pub(super) fn is_there(&self) -> bool {
        self.path().join("HEAD").exists()
    }

    /// Keeps others from changing and removing the mirror.
    pub(super) async fn hold(&self) -> Result<FileLock, MirrorError> {
        self.lock(Mode::Shared).await
    }

    async fn lock(&self, mode: Mode) -> Result<FileLock, MirrorError> {
        let locked = self.slot.lock(mode, self.git.patience()).await;
        locked.map_err(|error| MirrorError::Lock(self.slot.content(), error))
    }

    fn files(&self, error: io::Error) -> MirrorError {
        MirrorError::Files(self.slot.content(), error)
    }

    /// Whether the login was able to read the repository not longer ago than this.
    pub(super) fn is_proven(&self, within: Option<Duration>) -> bool {
        let proven = fs::metadata(self.proof()).and_then(|proof| proof.modified());
        proven.is_ok_and(|proven| {
            let age = SystemTime::now().duration_since(proven).unwrap_or_default();
            within.is_none_or(|within| age <= within)
        })
    }

    /// Notes that the login is able to read the repository, and what it found.
    pub(super) fn prove(&self, revision: &Revision, tip: &Tip) -> io::Result<()> {
        if !self.is_proven(Some(PROOF_RENEWAL)) {
            fs::create_dir_all(self.slot.beside("readers"))?;
            fs::write(self.proof(), "")?;
        }
        if self.remembered(revision).as_ref() != Some(tip) {
            fs::create_dir_all(self.slot.beside("tips"))?;
            replace(&self.tip_file(revision), &serde_json::to_vec(tip).map_err(io::Error::other)?)?;
        }
        Ok(())
    }

    /// What the branch was at when the server was last asked.
    pub(super) fn remembered(&self, revision: &Revision) -> Option<Tip> {
        serde_json::from_slice(&fs::read(self.tip_file(revision)).ok()?).ok()
    }

    fn proof(&self) -> Utf8PathBuf {
        self.slot.beside("readers").join(&self.reader)
    }

    fn tip_file(&self, revision: &Revision) -> Utf8PathBuf {
        self.slot.beside("tips").join(format!("{}.json", short_digest(&format!("{revision:?}"))))
    }

    /// The full id of a commit, if the mirror has it.
    pub(super) async fn find(&self, id: &str) -> Result<Option<String>, GitError> {
        let path = self.path();
        if !self.is_there() {
            return Ok(None);
        }
        self.git.without_login().ask(&path, &["rev-parse", "--quiet", "--verify", &format!("{id}^{{commit}}")]).await
    }

    /// Brings an object into the mirror if it is not there, and gives the commit that it leads to; the flag says whether
    /// the server was asked for it. In this process one fetch is on its way at a time, and those who wait for it use what
    /// it brings.
    pub(super) async fn ensure(&self, id: &str) -> Result<(String, bool), MirrorError> {
        let turns = self.cache.turns(&self.slot);
        let _turn = self.git.in_time(turns.lock()).await?;
        if let Some(commit) = self.find(id).await? {
            self.slot.touch();
            return Ok((commit, false));
        }
        let lock = self.lock(Mode::Exclusive).await?;
        // Another worker may have fetched it meanwhile.
        if let Some(commit) = self.find(id).await? {
            return Ok((commit, false));
        }
        self.fetch_or_rebuild(id, &lock).await?;
        let commit = match self.find(id).await? {
            Some(commit) => commit,
            None => self.fetch_by_id(id, &lock).await?,
        };
        self.note().await?;
        Ok((commit, true))
    }

    /// Makes the mirror anew.
    pub(super) async fn rebuild(&self, id: &str) -> Result<(), MirrorError> {
        let turns = self.cache.turns(&self.slot);
        let _turn = self.git.in_time(turns.lock()).await?;
        let lock = self.lock(Mode::Exclusive).await?;
        self.discard(&lock).await?;
        self.fetch(id, &lock).await?;
        self.note().await
    }

    async fn fetch_or_rebuild(&self, id: &str, lock: &FileLock) -> Result<(), MirrorError> {
        match self.fetch(id, lock).await {
            Err(MirrorError::Git(GitError::Failed(failure)))
                if failure.cause == Cause::Unknown && self.is_damaged().await? =>
            {
                warn!(repository = %self.repository, detail = failure.detail, "the mirror is damaged and is made anew");
                self.discard(lock).await?;
                self.fetch(id, lock).await
            }
            fetched => fetched,
        }
    }

    pub(super) async fn is_damaged(&self) -> Result<bool, GitError> {
        let check = &["fsck", "--connectivity-only", "--no-dangling", "--no-progress"];
        Ok(self.git.without_login().ask(&self.path(), check).await?.is_none())
    }

    async fn discard(&self, lock: &FileLock) -> Result<(), MirrorError> {
        let mirror = self.path();
        lock.during(move || remove(&mirror)).await.map_err(|error| self.files(error))
    }

    /// Fetches the commit, or all there is where the server gives no single commits or the id is a shortened one. The id says
    /// by its length which kind of ids the repository has.
    async fn fetch(&self, id: &str, lock: &FileLock) -> Result<(), MirrorError> {
        let (path, git) = (self.path(), self.git.holding(lock).without_login());
        fs::create_dir_all(&path).map_err(|error| self.files(error))?;
        if !path.join("HEAD").exists() {
            let init = &["init", "--quiet", "--bare", "--template=", object_format(id), "."];
            git.run(&path, init).await?;
        }
        let mirror = path.clone();
        lock.during(move || clear_remains(mirror)).await.map_err(|error| self.files(error))?;
        if !is_full(id) || !self.fetch_alone(id, lock).await? {
            self.fetch_all(lock).await?;
        }
        if self.packs().map_err(|error| self.files(error))? > PACKS {
            let merged = git.run(&path, &["repack", "--quiet", "-d", "--geometric=2"]).await;
            if let Err(error) = merged {
                warn!(repository = %self.repository, ?error, "the packs of the mirror could not be merged");
            }
        }
        Ok(())
    }

    /// Fetches one commit without its history. Says no where that is not to be had: a server of files, or one that gives only
    /// what its branches and tags are at.
    async fn fetch_alone(&self, id: &str, lock: &FileLock) -> Result<bool, MirrorError> {
        match self.fetch_refs(&["--depth=1"], &[&kept(id)], lock).await {
            Ok(()) => Ok(true),
            Err(MirrorError::Git(GitError::Failed(failure)))
                if failure.detail.contains("unadvertised object")
                    || failure.cause == Cause::Unknown && !self.is_damaged().await? =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Fetches everything with its history, and forgets branches that the server no longer has.
    async fn fetch_all(&self, lock: &FileLock) -> Result<(), MirrorError> {
        let mut options = vec!["--prune"];
        if self.path().join("shallow").exists() {
            options.push("--unshallow");
        }
        self.fetch_refs(&options, &["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"], lock).await
    }

    /// A commit that no branch leads to, such as one of a pull request.
    async fn fetch_by_id(&self, id: &str, lock: &FileLock) -> Result<String, MirrorError> {
        if !is_full(id) {
            let detail = "no commit that a branch or tag leads to begins so".to_owned();
            return Err(GitError::Failed(Failure { cause: Cause::RevisionMissing, detail }).into());
        }
        self.fetch_refs(&[], &[&kept(id)], lock).await?;
        Ok(self.git.without_login().run(&self.path(), &["rev-parse", "--verify", &format!("{id}^{{commit}}")]).await?)
    }

    async fn fetch_refs(&self, options: &[&str], refs: &[&str], lock: &FileLock) -> Result<(), MirrorError> {
        let mut arguments = vec!["-c", "fetch.unpackLimit=1", "fetch", "--quiet", "--no-tags", "--no-write-fetch-head"];
        arguments.push("--no-recurse-submodules");
        arguments.extend(options);
        arguments.extend(["--", self.repository.as_str()]);
        arguments.extend(refs);
        self.git.holding(lock).run(&self.path(), &arguments).await?;
        Ok(())
    }

    fn packs(&self) -> io::Result<usize> {
        let mut packs = 0;
        for entry in self.path().join("objects/pack").read_dir_utf8()? {
            packs += usize::from(entry?.path().extension() == Some("pack"));
        }
        Ok(packs)
    }

    async fn note(&self) -> Result<(), MirrorError> {
        let path = self.path();
        let size = on_disk(move || size_of(&path)).await.map_err(|error| self.files(error))?;
        let record = Record { source: self.repository.to_string(), size };
        self.slot.record(&record).map_err(|error| self.files(error))
    }
}

/// Removes what a killed git has left; the lock says that none is at work.
fn clear_remains(mirror: Utf8PathBuf) -> io::Result<()> {
    let mut open = vec![mirror];
    while let Some(directory) = open.pop() {
        for entry in directory.read_dir_utf8()? {
            let entry = entry?;
            let name = entry.file_name();
            if entry.file_type()?.is_dir() {
                // Those with the names of two digits are full of objects.
                if name.len() > 2 || !directory.ends_with("objects") {
                    open.push(entry.into_path());
                }
            } else if Utf8PathBuf::from(name).extension() == Some("lock") || name.starts_with("tmp_") {
                fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

const fn is_full(id: &str) -> bool {
    matches!(id.len(), 40 | 64)
}

/// What keeps an object that no branch or tag leads to.
fn kept(id: &str) -> String {
    format!("+{id}:refs/kept/{id}")
}

/// The option of `git init` for a repository with ids like this one.
pub(super) const fn object_format(id: &str) -> &'static str {
    if id.len() == 64 { "--object-format=sha256" } else { "--object-format=sha1" }
}

//! The commands that make a clone, and that bring an old one up to date.

use camino::Utf8Path;

use super::cached::Got;
use super::command::{Git, GitError};
use super::failure::Cause;
use super::lfs;
use super::{GitClone, Revision};

/// A command failed: of the repository itself, of one of its submodules, or of its large files.
#[derive(Debug)]
pub(super) enum StepError {
    Repository(GitError),
    Submodules(GitError),
    Lfs(GitError),
}

impl From<GitError> for StepError {
    fn from(error: GitError) -> Self {
        Self::Repository(error)
    }
}

/// Clones into `directory`, which does not exist, and gives the commit. A relative `repository` path starts from the
/// directory's parent.
pub(super) async fn clone(git: &Git<'_>, wanted: &GitClone, directory: &Utf8Path) -> Result<Got, StepError> {
    let mut arguments = vec!["clone", "--quiet"];
    if !wanted.directories.is_empty() {
        arguments.push("--sparse");
    }
    match &wanted.revision {
        Revision::DefaultBranch => arguments.extend(["--depth", "1"]),
        Revision::Branch(name) => arguments.extend(["--depth", "1", "--branch", name]),
        // With the history, in which a shortened id is found, and with files as they are needed.
        Revision::Commit(_) => arguments.extend(["--filter=blob:none", "--no-checkout"]),
    }
    arguments.extend(["--", wanted.repository.as_str(), directory.as_str()]);
    git.run(directory.parent().unwrap_or(directory), &arguments).await?;
    if let Revision::Commit(id) = &wanted.revision {
        check_out_commit(git, directory, id).await?;
    }
    complete(git, wanted, directory, false).await
}

/// Brings the clone in `directory` to the wanted revision, whatever its branch or the remote's has become, and gives the
/// commit. Files that the repository does not have stay.
pub(super) async fn update(git: &Git<'_>, wanted: &GitClone, directory: &Utf8Path) -> Result<Got, StepError> {
    let mut here = false;
    match &wanted.revision {
        Revision::DefaultBranch => fetch_tip(git, directory, "HEAD").await?,
        Revision::Branch(name) => match fetch_tip(git, directory, &format!("refs/heads/{name}")).await {
            Err(GitError::Failed(failure)) if failure.cause == Cause::RevisionMissing => {
                fetch_tip(git, directory, &format!("refs/tags/{name}")).await?;
            }
            fetched => fetched?,
        },
        Revision::Commit(id) => here = check_out_commit(git, directory, id).await? && !wanted.include_submodules,
    }
    if wanted.include_submodules {
        git.run(directory, &["submodule", "--quiet", "sync", "--recursive"]).await.map_err(StepError::Submodules)?;
    }
    complete(git, wanted, directory, here).await
}

/// The `origin` of the clone in `directory`, if it is a clone and has one.
pub(super) async fn origin(git: &Git<'_>, directory: &Utf8Path) -> Result<Option<String>, GitError> {
    git.ask(directory, &["config", "--local", "--get", "remote.origin.url"]).await
}

async fn fetch_tip(git: &Git<'_>, directory: &Utf8Path, reference: &str) -> Result<(), GitError> {
    git.run(
        directory,
        &["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--depth", "1", "origin", reference],
    )
    .await?;
    git.run(directory, &["reset", "--quiet", "--hard", "FETCH_HEAD"]).await.map(drop)
}

/// Says whether the commit was there.
async fn check_out_commit(git: &Git<'_>, directory: &Utf8Path, id: &str) -> Result<bool, GitError> {
    let commit = format!("{id}^{{commit}}");
    let known = git.ask(directory, &["rev-parse", "--quiet", "--verify", &commit]).await?;
    let is_known = known.is_some();
    let found = if let Some(found) = known {
        found
    } else {
        // A commit that no branch leads to, such as one of a pull request.
        git.run(directory, &["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "origin", id]).await?;
        git.run(directory, &["rev-parse", "--verify", &commit]).await?
    };
    git.run(directory, &["checkout", "--quiet", "--force", "--detach", &found]).await?;
    Ok(is_known)
}

async fn complete(
    git: &Git<'_>,
    wanted: &GitClone,
    directory: &Utf8Path,
    without_network: bool,
) -> Result<Got, StepError> {
    if !wanted.directories.is_empty() {
        let mut arguments = vec!["sparse-checkout", "set", "--"];
        arguments.extend(wanted.directories.iter().map(String::as_str));
        git.run(directory, &arguments).await?;
    }
    if wanted.include_submodules {
        update_submodules(git, directory).await?;
    }
    lfs::complete(git, wanted, directory).await?;
    let commit = git.run(directory, &["rev-parse", "--verify", "HEAD"]).await?;
    Ok(Got { commit, stale: false, without_network, reported: Vec::new() })
}

/// Brings the submodules to where the commit has them, and those that are not there.
pub(super) async fn update_submodules(git: &Git<'_>, directory: &Utf8Path) -> Result<(), StepError> {
    let update = &["submodule", "--quiet", "update", "--init", "--recursive", "--force"];
    git.run(directory, update).await.map(drop).map_err(StepError::Submodules)
}

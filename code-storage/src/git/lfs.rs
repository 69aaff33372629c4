//! Large files that a repository has on another server than its history.

use std::io;
use std::path::Path;

use camino::Utf8Path;
use fs_err as fs;
use tracing::warn;

use super::GitClone;
use super::command::{Git, GitError};
use super::worktree::StepError;
use crate::cache::on_disk;

/// The configuration that `git lfs install` would have written. And fewer attempts at a file: by itself it takes a minute to
/// say that one is lost.
const CONFIGURATION: [&str; 12] = [
    "-c",
    "filter.lfs.clean=git-lfs clean -- %f",
    "-c",
    "filter.lfs.smudge=git-lfs smudge -- %f",
    "-c",
    "filter.lfs.process=git-lfs filter-process",
    "-c",
    "filter.lfs.required=true",
    "-c",
    "lfs.transfer.maxretries=3",
    "-c",
    "lfs.transfer.maxretrydelay=2",
];

/// What became of the large files of a clone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LargeFiles {
    /// There are none.
    None,
    /// They are there.
    Brought,
    /// There are their pointers.
    Pointers,
}

/// Puts the large files in the place of the pointers that are checked out. Where Git LFS is not installed the pointers
/// stay, as in the SDK.
pub(super) async fn complete(git: &Git<'_>, wanted: &GitClone, directory: &Utf8Path) -> Result<LargeFiles, StepError> {
    if !are_in(directory).await {
        return Ok(LargeFiles::None);
    }
    if !is_installed(git, directory).await? {
        warn!(
            repository = %wanted.repository,
            "the repository has files in Git LFS, and git-lfs is not installed: the run gets their pointers"
        );
        return Ok(LargeFiles::Pointers);
    }
    git.run(directory, &with_filters(&["lfs", "pull"])).await.map_err(StepError::Lfs)?;
    if wanted.include_submodules {
        let each = with_filters(&["submodule", "--quiet", "foreach", "--recursive", "git lfs pull"]);
        git.run(directory, &each).await.map_err(StepError::Lfs)?;
    }
    Ok(LargeFiles::Brought)
}

/// Whether the files that are checked out say that some of them are in Git LFS.
pub(super) async fn are_in(directory: &Utf8Path) -> bool {
    let root = directory.as_std_path().to_owned();
    // What cannot be read here cannot be read by git either, which says so.
    on_disk(move || uses_lfs(&root)).await.unwrap_or(false)
}

/// Whether Git LFS is installed, for the runs of this environment.
pub(super) async fn is_installed(git: &Git<'_>, directory: &Utf8Path) -> Result<bool, GitError> {
    Ok(git.ask(directory, &["lfs", "version"]).await?.is_some())
}

/// A command that takes large files for what their pointers say.
pub(super) fn with_filters(arguments: &[&'static str]) -> Vec<&'static str> {
    CONFIGURATION.iter().chain(arguments).copied().collect()
}

fn uses_lfs(root: &Path) -> io::Result<bool> {
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() && entry.file_name() != ".git" {
                open.push(entry.path());
            } else if kind.is_file()
                && entry.file_name() == ".gitattributes"
                && String::from_utf8_lossy(&fs::read(entry.path())?).contains("filter=lfs")
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

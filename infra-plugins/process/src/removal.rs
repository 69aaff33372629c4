//! Removing what is left of a run.

use std::io;

use camino::Utf8Path;
use worker_core::handle::Handle;

use crate::cgroup::Cgroup;
use crate::claim::Claim;
use crate::confinement;
use crate::error::ProcessError;
use crate::folder::RunFolder;
use crate::handle::HandleDetail;
use crate::run::Run;
use crate::tree::Tree;

/// Removes everything: processes, supervisor, cgroup and folder. That some of it is gone already is no error.
pub(crate) async fn remove(
    handle: &Handle,
    run: Option<&Run>,
    folder: &RunFolder,
    runs_directory: &Utf8Path,
) -> Result<(), ProcessError> {
    let detail = HandleDetail::of(handle)?;
    // Where a supervisor left by itself it has removed the cgroups, as far as they could be.
    let mut only_its_folder = false;
    if let Some(run) = run {
        let mut has_swept = false;
        if let Some(supervision) = &run.supervision {
            has_swept = supervision.dismiss().await?;
            only_its_folder = has_swept && supervision.cgroup().is_none();
        }
        run.note_forgotten();
        if !has_swept && !detail.is_of_an_earlier_boot() {
            sweep_leftovers(handle).await?;
        }
    }
    let folder = folder.clone();
    // Deleting a working directory can take a while.
    let remove = move || if only_its_folder { remove_folder(&folder) } else { remove_cgroups_and_folder(&folder) };
    let removed = tokio::task::spawn_blocking(remove).await;
    removed.unwrap_or_else(|error| {
        Err(ProcessError::Cleanup { path: runs_directory.to_owned(), source: io::Error::other(error) })
    })?;
    remove_temporary_directory(handle, &detail, runs_directory)
}

/// Kills what a command that is gone has left behind: it carries the marker.
pub(crate) async fn sweep_leftovers(handle: &Handle) -> Result<(), ProcessError> {
    let tree = Tree::of(HandleDetail::of(handle)?.process, handle.key);
    tree.leader_is_reaped();
    tree.sweep().await;
    Ok(())
}

fn remove_folder(folder: &RunFolder) -> Result<(), ProcessError> {
    folder.remove().map_err(|source| ProcessError::Cleanup { path: folder.path().to_owned(), source })
}

fn remove_cgroups_and_folder(folder: &RunFolder) -> Result<(), ProcessError> {
    match folder.claim() {
        // A fence has its own time.
        Ok(Some(Claim::Nobody(_))) => return Ok(()),
        Ok(Some(Claim::Supervisor(claimed))) => {
            if let Some(cgroup) = claimed.cgroup.as_deref().and_then(Cgroup::existing) {
                cgroup.kill();
                cgroup.remove().map_err(|source| ProcessError::Cleanup { path: folder.path().to_owned(), source })?;
            }
            confinement::remove_leftovers(&claimed.key);
        }
        Ok(Some(Claim::Torn) | None) | Err(_) => {}
    }
    remove_folder(folder)
}

/// The temporary directory of a handle of the first version, if it is one of ours: a handle is read from disk, and must
/// not make us remove something else.
fn remove_temporary_directory(
    handle: &Handle,
    detail: &HandleDetail,
    runs_directory: &Utf8Path,
) -> Result<(), ProcessError> {
    let ours = runs_directory.join(format!("{}-prefect", handle.key));
    let Some(path) = detail.temporary_directory.clone().filter(|path| *path == ours) else { return Ok(()) };
    match fs_err::remove_dir_all(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(ProcessError::Cleanup { path, source }),
        Ok(()) | Err(_) => Ok(()),
    }
}

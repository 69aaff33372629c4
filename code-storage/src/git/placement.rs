//! Where a clone goes, and how it gets there without ever being seen unfinished.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err::tokio as fs;
use tracing::warn;

/// What stands where a clone is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing, or an empty directory.
    Nothing,
    /// A repository.
    Clone,
    /// Something that is not ours to remove.
    Other,
}

/// Looks at what stands at `directory`.
pub(super) async fn look(directory: &Utf8Path) -> io::Result<Found> {
    let first = match fs::read_dir(directory).await {
        Ok(mut entries) => entries.next_entry().await?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(Found::Other),
        Err(error) => return Err(error),
    };
    Ok(match first {
        None => Found::Nothing,
        Some(_) if fs::try_exists(directory.join(".git")).await? => Found::Clone,
        Some(_) => Found::Other,
    })
}

/// The places beside a directory at which it is made, and at which its predecessor waits to be removed.
///
/// Their names are fixed: whoever holds the directory's lock may remove what an earlier pull, killed on the way, left.
#[derive(Debug)]
pub(super) struct Placement<'a> {
    directory: &'a Utf8Path,
    /// Where the new clone is made.
    pub(super) partial: Utf8PathBuf,
    retired: Utf8PathBuf,
}

impl<'a> Placement<'a> {
    pub(super) fn of(directory: &'a Utf8Path) -> Self {
        let name = directory.file_name().unwrap_or_default();
        Self {
            directory,
            partial: directory.with_file_name(format!(".{name}.partial")),
            retired: directory.with_file_name(format!(".{name}.retired")),
        }
    }

    /// Removes what is left of earlier pulls.
    pub(super) async fn clear(&self) -> io::Result<()> {
        remove(&self.partial).await?;
        remove(&self.retired).await
    }

    /// Gives the finished clone its name; `occupied` says that the name is another clone's.
    pub(super) async fn install(&self, occupied: bool) -> io::Result<()> {
        if occupied {
            fs::rename(self.directory, &self.retired).await?;
        }
        fs::rename(&self.partial, self.directory).await?;
        // The new clone is in place: a predecessor that cannot be removed is no reason to fail the run.
        if let Err(error) = remove(&self.retired).await {
            warn!(directory = %self.retired, %error, "an old clone could not be removed");
        }
        Ok(())
    }

    /// Removes an unfinished clone, so that a failed pull does not keep the disk full.
    pub(super) async fn abandon(&self) {
        if let Err(error) = remove(&self.partial).await {
            warn!(directory = %self.partial, %error, "an unfinished clone could not be removed");
        }
    }
}

async fn remove(directory: &Utf8Path) -> io::Result<()> {
    match fs::remove_dir_all(directory).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

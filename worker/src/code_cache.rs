//! The code that is kept on this machine for later runs.

use std::io;

use camino::Utf8PathBuf;
use code_storage::{Cache, CacheLimits};

/// The folder of the state directory that holds it. All daemons of the state directory share it.
pub(crate) const FOLDER: &str = "code-cache";

/// Where code is kept, and how much.
#[derive(Clone, Debug)]
pub struct CodeCache {
    /// The directory, on the disk of the runs.
    pub directory: Utf8PathBuf,
    /// What is beyond them is removed.
    pub limits: CacheLimits,
}

impl CodeCache {
    /// The same for the runs of a workspace: what one may fetch is not for the others.
    pub(crate) fn of_workspace(self, name: &str) -> Self {
        Self { directory: self.directory.with_file_name(format!("{FOLDER}-{name}")), ..self }
    }

    /// Opens it.
    ///
    /// # Errors
    /// The directory cannot be made or used.
    pub(crate) fn open(&self) -> io::Result<Cache> {
        Cache::open(&self.directory, self.limits)
    }
}

//! What the plugin is told by the worker.

use std::collections::BTreeMap;
use std::fmt;

use camino::Utf8PathBuf;

/// Settings of the process kind. `Debug` leaves the environment out: it holds secrets.
#[derive(Clone)]
pub struct ProcessSettings {
    /// The Python interpreter of the default command: a path, or a name to look for on the worker's `PATH`. `None` means
    /// that of the worker's virtual environment, else `python3`, else `python`.
    pub python: Option<String>,
    /// The worker's whole process environment, which runs inherit.
    pub worker_environment: BTreeMap<String, String>,
    /// Where the temporary working directories of runs are made. Created when needed.
    pub runs_directory: Utf8PathBuf,
}

impl ProcessSettings {
    /// A variable of the worker's environment.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.worker_environment.get(name).map(String::as_str)
    }
}

impl fmt::Debug for ProcessSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessSettings")
            .field("python", &self.python)
            .field("runs_directory", &self.runs_directory)
            .finish_non_exhaustive()
    }
}

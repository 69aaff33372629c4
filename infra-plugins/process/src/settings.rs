//! What the plugin is told by the worker.

use std::collections::BTreeMap;
use std::fmt;

use camino::Utf8PathBuf;

/// The first argument with which the worker's program becomes a supervisor.
pub const SUPERVISE_RUN: &str = "supervise-run";

/// Settings of the process kind. `Debug` leaves the environment out: it holds secrets.
#[derive(Clone)]
pub struct ProcessSettings {
    /// The Python interpreter of the default command: a path, or a name to look for on the worker's `PATH`. `None` means
    /// that of the worker's virtual environment, else `python3`, else `python`.
    pub python: Option<String>,
    /// The worker's whole process environment, which runs inherit.
    pub worker_environment: BTreeMap<String, String>,
    /// Where the folders of runs are made. Created when needed.
    pub runs_directory: Utf8PathBuf,
    /// Whose runs these are. Only those of the same owner are its to adopt, whoever else shares the directory.
    pub owner: String,
    /// What supervises a run.
    pub supervisor: SupervisorProgram,
}

/// How a supervisor is started: a program that calls [`supervise`](crate::supervise), and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupervisorProgram {
    /// The program.
    pub program: Utf8PathBuf,
    /// What comes before the run's key.
    pub args: Vec<String>,
}

impl SupervisorProgram {
    /// The program that calls this, executed once more with [`SUPERVISE_RUN`]. It is the very same one also when an
    /// upgrade has replaced its file meanwhile.
    pub fn this_program() -> Self {
        Self { program: "/proc/self/exe".into(), args: vec![SUPERVISE_RUN.to_owned()] }
    }
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
            .field("owner", &self.owner)
            .field("supervisor", &self.supervisor)
            .finish_non_exhaustive()
    }
}

//! What the plugin is told by the worker.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::process::Stdio;
use std::sync::Arc;

use camino::Utf8PathBuf;
use infra_contract::Owner;
use tokio::process::Command;

use crate::confinement::Confinement;
use crate::error::ProcessError;
use crate::inheritance::Inheritance;
use crate::warm::Warm;

/// The name of the profile that is none.
pub(crate) const NO_PROFILE: &str = "default";

/// The first argument with which the worker's program becomes a supervisor.
pub const SUPERVISE_RUN: &str = "supervise-run";

/// Settings of the process kind. `Debug` leaves the environment out: it holds secrets.
#[derive(Clone)]
pub struct ProcessSettings {
    /// The Python interpreter of the default command: a path, or a name to look for on the worker's `PATH`. `None` means
    /// that of the worker's virtual environment, else `python3`, else `python`.
    pub python: Option<String>,
    /// The worker's whole process environment.
    pub worker_environment: BTreeMap<String, String>,
    /// What runs get of it.
    pub inheritance: Inheritance,
    /// How runs are kept apart that name no profile.
    pub confinement: Confinement,
    /// Whether runs start warm.
    pub warm: Warm,
    /// How those are that do, by the names of the profiles.
    pub profiles: BTreeMap<String, Confinement>,
    /// Where the folders of runs are made. Created when needed.
    pub runs_directory: Utf8PathBuf,
    /// Whose runs these are, whoever else shares the directory.
    pub owner: Owner,
    /// What supervises a run.
    pub supervisor: SupervisorProgram,
}

/// How a supervisor is started: a program that calls [`supervise`](crate::supervise), and its arguments.
#[derive(Clone, Debug)]
pub struct SupervisorProgram {
    pub(crate) program: Utf8PathBuf,
    /// What comes before the run's key.
    pub(crate) args: Vec<String>,
    /// Keeps the program executable that an upgrade has replaced.
    _held: Option<Arc<File>>,
}

impl SupervisorProgram {
    /// What one is called in the process table.
    pub(crate) const NAME: &str = "worker-supervisor";

    /// How it is executed, with a last word. The environment is empty: with the marker of a run that this worker is a part of, what is
    /// started would be killed as a part of it too.
    pub(crate) fn command(&self, word: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg0(Self::NAME).args(&self.args).arg(word).env_clear().current_dir("/").stderr(Stdio::null());
        command
    }

    /// A program by its path.
    pub fn new(program: impl Into<Utf8PathBuf>) -> Self {
        Self { program: program.into(), args: Vec::new(), _held: None }
    }

    /// The small program of this name beside the one that calls this; else the one that calls this, executed once more with
    /// [`SUPERVISE_RUN`]. Either is the very same one also when an upgrade has replaced its file meanwhile.
    pub fn beside_this_program(name: &str) -> Self {
        let own = std::env::current_exe().ok();
        let beside = own.and_then(|own| Some(own.parent()?.join(name)));
        let held = beside.and_then(|path| File::open(path).ok());
        match held {
            Some(file) => Self {
                program: format!("/proc/self/fd/{}", file.as_raw_fd()).into(),
                args: Vec::new(),
                _held: Some(Arc::new(file)),
            },
            None => Self { program: "/proc/self/exe".into(), args: vec![SUPERVISE_RUN.to_owned()], _held: None },
        }
    }
}

impl ProcessSettings {
    /// How a run is kept apart that names this profile.
    pub(crate) fn confinement_of(&self, sandbox: Option<&str>) -> Result<&Confinement, ProcessError> {
        match sandbox {
            None | Some(NO_PROFILE) => Ok(&self.confinement),
            Some(name) => self.profiles.get(name).ok_or_else(|| ProcessError::UnknownSandbox { name: name.to_owned() }),
        }
    }

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

//! What can go wrong, and how it looks at the edge.

use std::io;

use camino::Utf8PathBuf;
use infra_contract::{ErrorClass, InfraError};
use worker_core::job_configuration::JobConfigurationError;

use crate::orders::Hooks;

/// An error of the process kind. The texts about a run that could not start are shown to the flow's author.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProcessError {
    #[error("Flow run could not start: {0}")]
    Field(JobConfigurationError),
    #[error("Flow run could not start: the command cannot be split into words")]
    UnreadableCommand(#[source] shell_words::ParseError),
    #[error("Flow run could not start: the command has no words")]
    EmptyCommand,
    #[error("Flow run could not start: no Python interpreter was found")]
    NoInterpreter,
    #[error("Flow run could not start: `{0}` was not found on the worker's PATH")]
    InterpreterNotFound(String),
    #[error("Flow run could not start: the working directory {path} does not exist on the worker's machine")]
    NoWorkingDirectory { path: Utf8PathBuf },
    #[error("Flow run could not start: the working directory {path} cannot be used")]
    UnusableWorkingDirectory { path: Utf8PathBuf, source: io::Error },
    #[error("the folder of a run, {path}, cannot be used")]
    RunFolder { path: Utf8PathBuf, source: io::Error },
    #[error("Flow run could not start: its supervisor cannot be started")]
    NoSupervisor(#[source] io::Error),
    #[error("Flow run may not have started: its supervisor did not say")]
    SilentSupervisor(#[source] io::Error),
    #[error("Flow run could not start: it cannot be kept apart as the worker's settings ask for: {reason}")]
    NotConfined { reason: String },
    #[error("Flow run could not start: the worker has no sandbox `{name}`")]
    UnknownSandbox { name: String },
    #[error("Flow run could not start: {reason}")]
    Refused { reason: String },
    #[error("Flow run could not start: the launch was given up")]
    GivenUp,
    #[error("Flow run could not start: the executable `{program}` was not found")]
    ProgramNotFound { program: String },
    #[error("Flow run could not start: `{program}` is not an executable file")]
    ProgramNotExecutable { program: String },
    #[error("Flow run could not start: `{program}` cannot be executed")]
    Spawn { program: Utf8PathBuf, source: io::Error },
    #[error("the plan is not one of the process kind")]
    UnreadablePlan(#[source] serde_json::Error),
    #[error("the handle is not one of the process kind")]
    UnreadableHandle(#[source] serde_json::Error),
    #[error("whether process {pid} is still this run's cannot be told")]
    UnknownIdentity { pid: i32 },
    #[error("process {pid} cannot be signalled")]
    Signal { pid: i32, source: io::Error },
    #[error("process {pid} has been killed but does not end")]
    DoesNotEnd { pid: i32 },
    #[error("the hooks cannot be run: the run's supervisor is gone")]
    NoEnvironmentForHooks,
    #[error("hooks can only be run for the default command, whose Python is known")]
    HooksOfOtherCommand,
    #[error("hooks can only be run when the run has ended")]
    HooksOfRunningRun,
    #[error("the {hooks} hooks of the flow failed: {how}")]
    HooksFailed { hooks: Hooks, how: String },
    #[error("{path} cannot be removed")]
    Cleanup { path: Utf8PathBuf, source: io::Error },
}

impl ProcessError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Spawn { source, .. } if is_shortage(source) => ErrorClass::Transient,
            Self::Field(_)
            | Self::UnreadableCommand(_)
            | Self::EmptyCommand
            | Self::NoWorkingDirectory { .. }
            | Self::UnusableWorkingDirectory { .. }
            | Self::ProgramNotFound { .. }
            | Self::ProgramNotExecutable { .. }
            | Self::Spawn { .. }
            | Self::UnknownSandbox { .. }
            | Self::HooksFailed { .. } => ErrorClass::BadSpec,
            Self::NoInterpreter
            | Self::InterpreterNotFound(_)
            | Self::UnknownIdentity { .. }
            | Self::NotConfined { .. }
            | Self::HooksOfOtherCommand => ErrorClass::Unsupported,
            Self::RunFolder { .. }
            | Self::NoSupervisor(_)
            | Self::SilentSupervisor(_)
            | Self::Refused { .. }
            | Self::GivenUp
            | Self::DoesNotEnd { .. }
            | Self::Cleanup { .. } => ErrorClass::Transient,
            // Not unsupported: hooks that do not run although they could have are told of in the run's log.
            Self::Signal { .. } | Self::NoEnvironmentForHooks => ErrorClass::Denied,
            Self::UnreadablePlan(_) | Self::UnreadableHandle(_) | Self::HooksOfRunningRun => ErrorClass::Bug,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Field(error) => error.hint(),
            Self::UnreadableCommand(_) => "close every quote in the job variable `command`",
            Self::EmptyCommand => "leave the job variable `command` out to run the Prefect engine",
            Self::NoInterpreter | Self::InterpreterNotFound(_) => INTERPRETER_HINT,
            Self::NoWorkingDirectory { .. } | Self::UnusableWorkingDirectory { .. } => {
                "create it, or correct the job variable `working_dir`; without one, a temporary directory is used"
            }
            Self::ProgramNotFound { .. } => {
                "install it, put its directory on the run's PATH, or correct the job variable `command`; it is executed \
                 without a shell, so write `sh -c \"...\"` for shell syntax"
            }
            Self::ProgramNotExecutable { .. } => "make it executable (chmod +x), or correct the job variable `command`",
            Self::Spawn { source, .. } if is_shortage(source) => {
                "the machine is short of processes, files or memory: lower the worker's limit"
            }
            Self::Spawn { .. } => "is it built for this machine, and does the interpreter in its first line exist?",
            Self::RunFolder { .. } => "is the worker's state directory writable, and its disk not full?",
            Self::NoSupervisor(_) => "the machine is short of processes, files or memory: lower the worker's limit",
            Self::UnknownIdentity { .. } => {
                "mount /proc, by which a process is told from a later one of the same number"
            }
            Self::DoesNotEnd { .. } => {
                "it is probably waiting for a disk or network file system; it ends when that answers"
            }
            Self::Signal { .. } => "does the run's command change its user (sudo, setuid)?",
            Self::NotConfined { .. } => {
                "`worker doctor` says what the section [sandbox] asks for that this machine cannot give"
            }
            Self::UnknownSandbox { .. } => {
                "correct the job variable `sandbox`, or give the worker's settings a `[[sandbox_profile]]` of that name"
            }
            Self::HooksFailed { .. } => "look for the failed hook in the run's log; it is not called again",
            Self::SilentSupervisor(_)
            | Self::Refused { .. }
            | Self::GivenUp
            | Self::NoEnvironmentForHooks
            | Self::HooksOfOtherCommand
            | Self::HooksOfRunningRun
            | Self::Cleanup { .. }
            | Self::UnreadablePlan(_)
            | Self::UnreadableHandle(_) => return None,
        })
    }
}

/// How another interpreter is chosen.
pub(crate) const INTERPRETER_HINT: &str =
    "name one that has the Prefect SDK with `python` in the section [process], or with WORKER_PROCESS_PYTHON";

fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let shortages = [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE];
    Errno::from_io_error(error).is_some_and(|errno| shortages.contains(&errno))
}

impl From<ProcessError> for InfraError {
    fn from(error: ProcessError) -> Self {
        let edge = Self::new(error.class(), error.to_string());
        let edge = match error.hint() {
            Some(hint) => edge.hint(hint),
            None => edge,
        };
        match error {
            ProcessError::UnreadableCommand(source) => edge.because(source),
            ProcessError::UnusableWorkingDirectory { source, .. }
            | ProcessError::RunFolder { source, .. }
            | ProcessError::NoSupervisor(source)
            | ProcessError::SilentSupervisor(source)
            | ProcessError::Spawn { source, .. }
            | ProcessError::Signal { source, .. }
            | ProcessError::Cleanup { source, .. } => edge.because(source),
            ProcessError::UnreadablePlan(source) | ProcessError::UnreadableHandle(source) => edge.because(source),
            ProcessError::Field(_)
            | ProcessError::EmptyCommand
            | ProcessError::NoInterpreter
            | ProcessError::InterpreterNotFound(_)
            | ProcessError::NoWorkingDirectory { .. }
            | ProcessError::ProgramNotFound { .. }
            | ProcessError::ProgramNotExecutable { .. }
            | ProcessError::UnknownIdentity { .. }
            | ProcessError::NotConfined { .. }
            | ProcessError::UnknownSandbox { .. }
            | ProcessError::Refused { .. }
            | ProcessError::GivenUp
            | ProcessError::NoEnvironmentForHooks
            | ProcessError::HooksOfOtherCommand
            | ProcessError::HooksOfRunningRun
            | ProcessError::HooksFailed { .. }
            | ProcessError::DoesNotEnd { .. } => edge,
        }
    }
}

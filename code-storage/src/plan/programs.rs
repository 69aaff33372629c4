//! The inputs of the steps that start programs.

use std::collections::BTreeMap;
use std::fmt;

use super::inputs::{InputError, StepInputs};
use crate::steps::script_problem;

/// A `run_shell_script` step. The script and its environment may hold secrets, so `Debug` prints neither.
#[derive(Clone, PartialEq, Eq)]
pub struct ShellScript {
    /// The script: each of its lines is a command of its own.
    pub script: String,
    /// Where it runs, if not in the working directory.
    pub directory: Option<String>,
    /// Variables on top of the run's environment.
    pub environment: BTreeMap<String, String>,
    /// Whether its output goes to the log.
    pub stream_output: bool,
    /// Whether `$NAME` is replaced in a line before it is split into words.
    pub expand_env_vars: bool,
    /// Whether a line is given to the shell rather than split into words.
    pub shell: bool,
}

impl fmt::Debug for ShellScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShellScript")
            .field("directory", &self.directory)
            .field("stream_output", &self.stream_output)
            .field("expand_env_vars", &self.expand_env_vars)
            .field("shell", &self.shell)
            .finish_non_exhaustive()
    }
}

impl ShellScript {
    pub(super) fn parse(inputs: StepInputs<'_>) -> Result<Self, InputError> {
        let script = Self {
            script: inputs.required_text("script")?.to_owned(),
            directory: inputs.directory("directory")?.map(str::to_owned),
            environment: inputs.environment("env")?,
            stream_output: inputs.flag("stream_output", true)?,
            expand_env_vars: inputs.flag("expand_env_vars", false)?,
            shell: inputs.flag("shell", false)?,
        };
        match script_problem(&script) {
            Some(problem) => Err(InputError::new("script", problem)),
            None => Ok(script),
        }
    }
}

/// A `pip_install_requirements` step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipInstall {
    /// Where `pip` runs, if not in the working directory.
    pub directory: Option<String>,
    /// The file that lists the packages.
    pub requirements_file: String,
    /// Whether the output of `pip` goes to the log.
    pub stream_output: bool,
}

impl PipInstall {
    pub(super) fn parse(inputs: StepInputs<'_>) -> Result<Self, InputError> {
        let requirements_file = match inputs.0.get("requirements_file") {
            None => "requirements.txt",
            // Null is an argument that no program can be given.
            Some(_) => inputs.required_text("requirements_file")?,
        };
        Ok(Self {
            directory: inputs.directory("directory")?.map(str::to_owned),
            requirements_file: requirements_file.to_owned(),
            stream_output: inputs.flag("stream_output", true)?,
        })
    }
}

//! Starting a run's process.

use std::io;
use std::process::Stdio;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::process::{Child, Command};
use worker_core::ids::LaunchKey;

use crate::control::Invitation;
use crate::environment::{CONTROL_PORT, CONTROL_TOKEN};
use crate::error::ProcessError;
use crate::executable;
use crate::plan::ProcessPlan;
use crate::settings::ProcessSettings;

/// Where a run works.
#[derive(Debug)]
pub(crate) struct WorkingDirectory {
    pub(crate) path: Utf8PathBuf,
    pub(crate) is_temporary: bool,
}

impl WorkingDirectory {
    /// The planned one, which must exist, or a temporary one, which is made. Its name is that of the execution, so that a
    /// repeated launch makes no second one.
    pub(crate) fn ready(settings: &ProcessSettings, plan: &ProcessPlan, key: LaunchKey) -> Result<Self, ProcessError> {
        if let Some(path) = plan.working_dir.clone() {
            return match path.metadata() {
                Ok(metadata) if metadata.is_dir() => Ok(Self { path, is_temporary: false }),
                Ok(_) => {
                    Err(ProcessError::UnusableWorkingDirectory { path, source: io::ErrorKind::NotADirectory.into() })
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ProcessError::NoWorkingDirectory { path }),
                Err(source) => Err(ProcessError::UnusableWorkingDirectory { path, source }),
            };
        }
        let path = settings.runs_directory.join(format!("{key}-prefect"));
        match fs_err::create_dir_all(&path) {
            Ok(()) => Ok(Self { path, is_temporary: true }),
            Err(source) => Err(ProcessError::TemporaryDirectory { path, source }),
        }
    }

    /// Removes a temporary one in which nothing was started.
    pub(crate) fn discard(&self) {
        if self.is_temporary
            && let Err(error) = fs_err::remove_dir_all(&self.path)
        {
            tracing::debug!(%error, "cannot remove the temporary working directory of a run that did not start");
        }
    }

    pub(crate) fn into_temporary(self) -> Option<Utf8PathBuf> {
        self.is_temporary.then_some(self.path)
    }
}

/// Starts the command, without a shell, in a process group of its own: a signal that a terminal sends to the worker's
/// group must not reach it, and its own descendants can be told by the group.
pub(crate) fn spawn(
    plan: &ProcessPlan,
    working_dir: &Utf8Path,
    invitation: Option<&Invitation>,
) -> Result<Child, ProcessError> {
    let [program, arguments @ ..] = plan.words.as_slice() else { return Err(ProcessError::EmptyCommand) };
    let path = plan.environment.get("PATH").map(String::as_str);
    let program = executable::resolve(program, working_dir, path)?;
    let mut command = Command::new(&program);
    command
        .args(arguments)
        .env_clear()
        .envs(&plan.environment)
        .current_dir(working_dir)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(if plan.stream_output { Stdio::piped() } else { Stdio::null() })
        // Read even if it is not wanted: its end says why a run failed.
        .stderr(Stdio::piped());
    if let Some(invitation) = invitation {
        command.env(CONTROL_PORT, invitation.port.to_string()).env(CONTROL_TOKEN, &invitation.token);
    }
    command.spawn().map_err(|source| ProcessError::Spawn { program, source })
}

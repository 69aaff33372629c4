//! The `pip_install_requirements` step.

use camino::Utf8Path;
use tokio::time::Instant;

use super::error::StepError;
use super::program::{ProgramError, Surroundings};
use super::progress::{Outputs, StepRun, within};
use super::script::outputs;
use crate::plan::PipInstall;

/// Installs packages for the Python of the run.
pub(super) async fn run(
    install: &PipInstall,
    run: &StepRun<'_>,
    python: &Utf8Path,
    working_directory: &Utf8Path,
) -> Result<Outputs, StepError> {
    let directory = within(working_directory, install.directory.as_deref());
    let surroundings = Surroundings {
        directory: &directory,
        environment: run.environment,
        deadline: run.deadline(Instant::now()),
        cancel: run.cancel,
    };
    let (mut stdout, mut stderr) = (run.capture(install.stream_output), run.capture(install.stream_output));
    let arguments = ["-m", "pip", "install", "-r", &install.requirements_file].map(str::to_owned);
    let status =
        surroundings.run(python.as_str(), &arguments, &mut stdout, &mut stderr).await.map_err(|error| match error {
            ProgramError::Start(source) => {
                StepError::PythonStart { step: run.step.to_owned(), python: python.to_string(), source }
            }
            ProgramError::Directory(source) => run.unusable(&directory, source),
            ProgramError::TimedOut => run.timed_out(),
            ProgramError::Cancelled => run.cancelled(),
        })?;
    if !status.success() {
        let detail = run.last_words(&stdout, &stderr);
        return Err(StepError::Pip { step: run.step.to_owned(), ended: status.to_string(), detail });
    }
    outputs(run, &stdout, &stderr)
}

//! The words that are executed.

use crate::environment;
use crate::error::ProcessError;
use crate::interpreter;
use crate::settings::ProcessSettings;
use crate::uv;
use camino::Utf8Path;
use worker_core::spec::RunSpec;

/// A command, and the interpreter that was chosen for it if it is the default one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) words: Vec<String>,
    pub(crate) interpreter: Option<String>,
}

/// The configured command, split as a POSIX shell would but executed without one; else the Prefect engine.
pub(crate) fn choose(
    settings: &ProcessSettings,
    spec: &RunSpec,
    working_dir: Option<&Utf8Path>,
) -> Result<Command, ProcessError> {
    if let Some(command) = &spec.command {
        let words = shell_words::split(command).map_err(ProcessError::UnreadableCommand)?;
        return if words.is_empty() {
            Err(ProcessError::EmptyCommand)
        } else {
            Ok(Command { words, interpreter: None })
        };
    }
    let environment = environment::of_run(&settings.worker_environment, spec);
    let path = environment.get("PATH").map(String::as_str);
    if let Some(words) = uv::command(&spec.env, &settings.worker_environment, path, working_dir) {
        return Ok(Command { words, interpreter: None });
    }
    let python = interpreter::choose(settings)?.into_string();
    let words = vec![python.clone(), "-m".to_owned(), "prefect.engine".to_owned()];
    Ok(Command { words, interpreter: Some(python) })
}

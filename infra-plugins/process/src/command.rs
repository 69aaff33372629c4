//! The words that are executed.

use crate::environment;
use crate::error::ProcessError;
use crate::interpreter;
use crate::settings::ProcessSettings;
use crate::uv;
use camino::Utf8Path;
use worker_core::spec::RunSpec;

/// The module that runs a flow, as arguments of a Python.
const ENGINE: [&str; 2] = ["-m", "prefect.engine"];

/// A command, and the words that start the Python of the default one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) words: Vec<String>,
    pub(crate) python: Vec<String>,
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
            Ok(Command { words, python: Vec::new() })
        };
    }
    let environment = environment::of_run(settings, spec);
    let path = environment.get("PATH").map(String::as_str);
    if let Some(launcher) = uv::launcher(&spec.env, &settings.worker_environment, path, working_dir) {
        return Ok(Command { words: followed_by(&launcher, &ENGINE), python: followed_by(&launcher, &["python"]) });
    }
    let python = vec![interpreter::choose(settings)?.into_string()];
    Ok(Command { words: followed_by(&python, &ENGINE), python })
}

fn followed_by(words: &[String], more: &[&str]) -> Vec<String> {
    words.iter().cloned().chain(more.iter().map(|word| (*word).to_owned())).collect()
}

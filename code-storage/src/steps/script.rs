//! The `run_shell_script` step.

use std::collections::BTreeMap;

use camino::Utf8Path;
use serde_json::Map;
use tokio::time::Instant;

use super::capture::Capture;
use super::error::StepError;
use super::program::{ProgramError, Surroundings};
use super::progress::{Outputs, StepRun, within};
use super::{expand, python_text, words};
use crate::plan::ShellScript;

/// The shell of Python's `subprocess`.
const SHELL: &str = "/bin/sh";

/// A program and its arguments.
type Words = (String, Vec<String>);

/// What keeps a script from being run, as far as its text shows; completes "the input `script` …".
pub(crate) fn script_problem(script: &ShellScript) -> Option<&'static str> {
    if script.shell || script.expand_env_vars {
        return None;
    }
    python_text::lines(&script.script).into_iter().find_map(|line| words::split(line).err())
}

/// Runs the lines of a script, one after the other, up to the first that fails.
pub(super) async fn run(
    script: &ShellScript,
    run: &StepRun<'_>,
    working_directory: &Utf8Path,
) -> Result<Outputs, StepError> {
    let mut environment = run.environment.clone();
    environment.extend(script.environment.clone());
    let directory = within(working_directory, script.directory.as_deref());
    let surroundings = Surroundings {
        directory: &directory,
        environment: &environment,
        deadline: run.deadline(Instant::now()),
        cancel: run.cancel,
    };
    let (mut stdout, mut stderr) = (run.capture(script.stream_output), run.capture(script.stream_output));
    for (position, line) in python_text::lines(&script.script).into_iter().enumerate() {
        let Some((program, arguments)) = command(script, line, &environment).map_err(|problem| run.script(problem))?
        else {
            continue;
        };
        let line = position + 1;
        let status =
            surroundings.run(&program, &arguments, &mut stdout, &mut stderr).await.map_err(|error| match error {
                ProgramError::Start(source) => {
                    StepError::Start { step: run.step.to_owned(), line, program: shown(&program), source }
                }
                ProgramError::Directory(source) => run.unusable(&directory, source),
                ProgramError::TimedOut => run.timed_out(),
                ProgramError::Cancelled => run.cancelled(),
            })?;
        if !status.success() {
            let detail = run.last_words(&stdout, &stderr);
            return Err(StepError::Failed { step: run.step.to_owned(), line, ended: status.to_string(), detail });
        }
    }
    outputs(run, &stdout, &stderr)
}

/// What a line starts; none for an empty one.
fn command(
    script: &ShellScript,
    line: &str,
    environment: &BTreeMap<String, String>,
) -> Result<Option<Words>, &'static str> {
    let line = if script.expand_env_vars { expand::expand(line, environment) } else { line.to_owned() };
    if script.shell {
        let line = python_text::strip(&line);
        return Ok((!line.is_empty()).then(|| (SHELL.to_owned(), vec!["-c".to_owned(), line.to_owned()])));
    }
    let mut words = words::split(&line)?.into_iter();
    Ok(words.next().map(|program| (program, words.collect())))
}

/// The name of a program for people. What is no program (`TOKEN=… command`, which wants a shell) may be a secret.
fn shown(program: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "/._-+".contains(character);
    if program.chars().all(is_plain) { format!("`{program}`") } else { "its first word".to_owned() }
}

/// The outputs of a step that ran programs.
pub(super) fn outputs(run: &StepRun<'_>, stdout: &Capture<'_>, stderr: &Capture<'_>) -> Result<Outputs, StepError> {
    if stdout.is_too_long() || stderr.is_too_long() {
        return Err(StepError::TooMuchOutput { step: run.step.to_owned() });
    }
    let stripped = |capture: &Capture<'_>| python_text::strip(&capture.text()).to_owned().into();
    Ok(Map::from_iter([("stdout".to_owned(), stripped(stdout)), ("stderr".to_owned(), stripped(stderr))]))
}

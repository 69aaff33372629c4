//! How far a pull has come, and its next step.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err::tokio as fs;
use serde_json::{Map, Value};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::capture::{Capture, Lines};
use super::error::StepError;
use super::secrets::Secrets;
use super::{PullLog, pip, python_text, script};
use crate::git::GitClone;
use crate::objects::{FetchOptions, ObjectSource, Store};
use crate::plan::{FillError, InputProblem, NativePull, NativeStep, ObjectFetch, StepAction, Upstream};
use crate::{Checkout, CodeError, CodeSource as _, GitSource, PullOptions};

/// What a step puts out.
pub(super) type Outputs = Map<String, Value>;

/// The state between two steps.
pub(crate) struct Progress<'a> {
    plan: &'a NativePull,
    options: &'a PullOptions,
    log: &'a dyn PullLog,
    cancel: &'a CancellationToken,
    started_in: Utf8PathBuf,
    working_directory: Utf8PathBuf,
    /// Where the flow runs is the last directory that a step has given, which for a clone is not the working directory.
    pub(crate) directory: Utf8PathBuf,
    upstream: Upstream,
    secrets: Secrets,
    pub(crate) checkouts: Vec<Checkout>,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(
        plan: &'a NativePull,
        started_in: &Utf8Path,
        options: &'a PullOptions,
        log: &'a dyn PullLog,
        cancel: &'a CancellationToken,
    ) -> Self {
        Self {
            plan,
            options,
            log,
            cancel,
            started_in: started_in.to_owned(),
            working_directory: started_in.to_owned(),
            directory: started_in.to_owned(),
            upstream: Upstream::default(),
            secrets: plan.secrets().clone(),
            checkouts: Vec::new(),
        }
    }

    /// Runs a step, and takes its outputs.
    pub(crate) async fn run(&mut self, step: &NativeStep) -> Result<(), CodeError> {
        let outputs = match self.late_action(step)? {
            Some(action) => self.perform(step, &action).await?,
            None => self.perform(step, &step.planned).await?,
        };
        self.upstream.add(step.record.id.as_deref(), outputs);
        Ok(())
    }

    /// What a step does that was not known before the earlier ones had run.
    fn late_action(&mut self, step: &NativeStep) -> Result<Option<StepAction>, StepError> {
        if !step.waits() {
            return Ok(None);
        }
        let name = &step.record.step_name;
        let inputs = self.plan.inputs_of(step, &self.upstream).map_err(|error| match error {
            FillError::Template(source) => StepError::Template { step: name.clone(), source },
            FillError::FromOutput(reference) => StepError::ReferenceFromOutput { step: name.clone(), reference },
        })?;
        step.add_secrets(&inputs, &mut self.secrets);
        let action = self.plan.action_of(step, &inputs).map_err(|problem| match problem {
            InputProblem::Input(error) => {
                StepError::Input { step: name.clone(), input: error.input, problem: error.problem }
            }
            InputProblem::Store(reason) => StepError::Store { step: name.clone(), reason },
        })?;
        Ok(Some(action))
    }

    async fn perform(&mut self, step: &NativeStep, action: &StepAction) -> Result<Outputs, CodeError> {
        match action {
            StepAction::SetWorkingDirectory(wanted) => {
                let directory = self.working_directory.join(wanted);
                self.stays_within(&directory).await?;
                self.working_directory = enter(&directory).await?;
                self.directory.clone_from(&self.working_directory);
                Ok(directory_output(self.working_directory.as_str()))
            }
            StepAction::GitClone(wanted) => self.clone(wanted).await,
            StepAction::Fetch(wanted) => self.fetch(wanted).await,
            StepAction::RunShellScript(wanted) => {
                Ok(script::run(wanted, &self.step_run(step), &self.working_directory).await?)
            }
            StepAction::PipInstall(wanted) => {
                // The plan leaves the step to the SDK unless there is one.
                let python = self.plan.site().python.clone().unwrap_or_default();
                Ok(pip::run(wanted, &self.step_run(step), &python, &self.working_directory).await?)
            }
        }
    }

    /// The code of a container or pod, or of another user, does not lead out of the directory that it is given: a link in a
    /// repository would show it files of this machine, or have files written there.
    async fn stays_within(&self, directory: &Utf8Path) -> Result<(), CodeError> {
        if self.plan.site().has_our_rights() {
            return Ok(());
        }
        for part in directory.ancestors() {
            match fs::canonicalize(part).await {
                Ok(found) if found.starts_with(&self.started_in) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(part).await.is_err() => {}
                Ok(_) | Err(_) => break,
            }
        }
        let source = io::Error::other("it leads out of the directory for the code");
        Err(CodeError::Directory { directory: directory.to_owned(), source })
    }

    async fn clone(&mut self, wanted: &GitClone) -> Result<Outputs, CodeError> {
        let into = self.working_directory.join(&wanted.directory_name);
        self.stays_within(&into).await?;
        let source = GitSource::new(wanted.clone(), self.options.clone());
        let checkout = source.fetch(&into, self.cancel).await?;
        self.directory.clone_from(&checkout.root);
        self.checkouts.push(checkout);
        Ok(directory_output(&wanted.directory_name))
    }

    /// Brings a folder of an object store.
    pub(crate) async fn fetch(&mut self, wanted: &ObjectFetch) -> Result<Outputs, CodeError> {
        let into = within(&self.working_directory, wanted.into.as_deref().map(Utf8Path::as_str));
        self.stays_within(&into).await?;
        if wanted.into.is_some() {
            fs::create_dir_all(&into)
                .await
                .map_err(|source| CodeError::Directory { directory: into.clone(), source })?;
        }
        let options = FetchOptions {
            time_limit: self.options.time_limit,
            environment: self.plan.site().environment.clone(),
            cache: self.options.cache.clone(),
            ..FetchOptions::default()
        };
        let tree = ObjectSource::new(wanted.pull.clone(), options).fetch(&into, self.cancel).await?;
        self.directory.clone_from(&into);
        self.checkouts.push(Checkout {
            root: tree.root,
            source: tree.source,
            revision: tree.revision,
            stale: false,
            reported: Vec::new(),
            without_network: matches!(wanted.pull.store, Store::Local(_)),
        });
        let directory = wanted.into.as_ref().unwrap_or(&self.working_directory);
        Ok(wanted.outputs.clone().into_iter().chain(directory_output(directory.as_str())).collect())
    }

    fn step_run<'s>(&'s self, step: &'s NativeStep) -> StepRun<'s> {
        StepRun {
            step: &step.record.step_name,
            environment: &self.plan.site().environment,
            limit: self.options.step_limit,
            cancel: self.cancel,
            lines: (!step.may_print_secret()).then_some(Lines { log: self.log, secrets: &self.secrets }),
            secrets: &self.secrets,
            is_read: step.is_read(),
        }
    }
}

fn directory_output(directory: &str) -> Outputs {
    Map::from_iter([("directory".to_owned(), directory.into())])
}

/// The directory that a step names, if it names one.
pub(super) fn within(working_directory: &Utf8Path, directory: Option<&str>) -> Utf8PathBuf {
    directory.map_or_else(|| working_directory.to_owned(), |directory| working_directory.join(directory))
}

/// The absolute path of a directory, without links, as a process has it that changed to the directory.
pub(crate) async fn enter(directory: &Utf8Path) -> Result<Utf8PathBuf, CodeError> {
    let unusable = |source| CodeError::Directory { directory: directory.to_owned(), source };
    let path = fs::canonicalize(directory).await.map_err(unusable)?;
    let path = Utf8PathBuf::try_from(path).map_err(|error| unusable(error.into_io_error()))?;
    if fs::metadata(&path).await.map_err(unusable)?.is_dir() {
        Ok(path)
    } else {
        Err(unusable(io::ErrorKind::NotADirectory.into()))
    }
}

/// The most lines, and characters of each, that an error takes over from a program's output.
const LINES: usize = 5;
const LINE_LENGTH: usize = 300;

/// A limit beyond what the clock can express is as good as this one.
const LONGEST_LIMIT: Duration = Duration::from_hours(24 * 365);

/// What a step that starts programs has at hand.
pub(super) struct StepRun<'a> {
    pub(super) step: &'a str,
    pub(super) environment: &'a BTreeMap<String, String>,
    pub(super) limit: Duration,
    pub(super) cancel: &'a CancellationToken,
    pub(super) lines: Option<Lines<'a>>,
    pub(super) secrets: &'a Secrets,
    pub(super) is_read: bool,
}

impl<'a> StepRun<'a> {
    pub(super) fn deadline(&self, from: Instant) -> Instant {
        from + self.limit.min(LONGEST_LIMIT)
    }

    pub(super) fn capture(&self, stream_output: bool) -> Capture<'a> {
        Capture::new(self.lines.filter(|_| stream_output), self.is_read)
    }

    pub(super) fn timed_out(&self) -> StepError {
        StepError::TimedOut { step: self.step.to_owned(), limit: self.limit }
    }

    pub(super) fn unusable(&self, directory: &Utf8Path, source: io::Error) -> StepError {
        StepError::Directory { step: self.step.to_owned(), directory: directory.to_owned(), source }
    }

    pub(super) fn cancelled(&self) -> StepError {
        StepError::Cancelled { step: self.step.to_owned() }
    }

    pub(super) fn script(&self, problem: &'static str) -> StepError {
        StepError::Input { step: self.step.to_owned(), input: "script".to_owned(), problem }
    }

    /// The last lines of what failed programs said: of their errors, if they reported any.
    pub(super) fn last_words(&self, stdout: &Capture<'_>, stderr: &Capture<'_>) -> String {
        let said = [stderr.text(), stdout.text()].into_iter().find(|text| !python_text::strip(text).is_empty());
        // Masked before it is cut, or a part of a secret would be left.
        let said = self.secrets.mask(&said.unwrap_or_default());
        let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let last = lines.iter().skip(lines.len().saturating_sub(LINES));
        let last: Vec<String> = last.map(|line| line.chars().take(LINE_LENGTH).collect()).collect();
        if last.is_empty() { "it said nothing".to_owned() } else { last.join("; ") }
    }
}

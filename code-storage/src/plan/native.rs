//! Code that the worker brings.

use std::fmt;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value};
use worker_core::spec::CodeInPlace;

use super::filling::Fetched;
use super::kind::StepKind;
use super::{
    Entrypoint, FillError, GitClone, InputProblem, ObjectFetch, PipInstall, RunSite, ShellScript, StepRecord, Upstream,
    fill,
};
use crate::steps::Secrets;

/// Pull steps that the worker can run, or storage that it can fetch from. Holds secrets, which `Debug` does not print.
#[derive(Clone)]
pub struct NativePull {
    pub(super) storage: Option<ObjectFetch>,
    pub(super) steps: Vec<NativeStep>,
    pub(super) entrypoint: Entrypoint,
    pub(super) site: RunSite,
    pub(super) fetched: Fetched,
    pub(super) secrets: Secrets,
}

impl fmt::Debug for NativePull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NativePull")
            .field("storage", &self.storage)
            .field("steps", &self.steps)
            .field("entrypoint", &self.entrypoint)
            .field("site", &self.site)
            .finish_non_exhaustive()
    }
}

impl NativePull {
    /// Where the code of a deployment without pull steps is.
    pub fn storage(&self) -> Option<&ObjectFetch> {
        self.storage.as_ref()
    }

    /// The steps, in order; none if the code is in storage.
    pub fn steps(&self) -> &[NativeStep] {
        &self.steps
    }

    /// What the flow's process has to load afterwards.
    pub fn entrypoint(&self) -> &Entrypoint {
        &self.entrypoint
    }

    /// Where the code will be once it was brought from this directory on. What a step takes from an earlier one may lead
    /// elsewhere.
    pub fn expected(&self, started_in: &Utf8Path) -> CodeInPlace {
        let mut working_directory = started_in.to_owned();
        let mut directory = started_in.to_owned();
        directory.extend(self.storage.iter().flat_map(|storage| &storage.into));
        for step in &self.steps {
            match &step.planned {
                StepAction::SetWorkingDirectory(wanted) => {
                    working_directory.push(wanted);
                    directory.clone_from(&working_directory);
                }
                StepAction::GitClone(wanted) => directory = working_directory.join(&wanted.directory_name),
                StepAction::Fetch(wanted) => {
                    directory.clone_from(&working_directory);
                    directory.extend(&wanted.into);
                }
                StepAction::RunShellScript(_) | StepAction::PipInstall(_) => {}
            }
        }
        let entrypoint = Some(self.entrypoint.within(&directory));
        CodeInPlace { directory: directory.into_string(), entrypoint, importable: None }
    }

    pub(crate) fn site(&self) -> &RunSite {
        &self.site
    }

    /// The secret texts that came with the inputs.
    pub(crate) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// What a step does with these inputs.
    pub(crate) fn action_of(&self, step: &NativeStep, inputs: &Map<String, Value>) -> Result<StepAction, InputProblem> {
        step.kind.action(inputs, &self.fetched)
    }

    /// The inputs of a step once the steps before it have run.
    pub(crate) fn inputs_of(&self, step: &NativeStep, upstream: &Upstream) -> Result<Map<String, Value>, FillError> {
        fill(step.record.own_inputs(), upstream, &self.fetched, &self.site.environment)
    }
}

/// One pull step.
#[derive(Clone, Debug)]
pub struct NativeStep {
    /// The step as the deployment has it.
    pub record: StepRecord,
    /// What it does; what comes from an earlier step has something else in its place.
    pub planned: StepAction,
    pub(super) kind: StepKind,
    /// Whether something comes from an earlier step.
    pub(super) waits: bool,
    /// Whether a later step may take what this one puts out.
    pub(super) is_read: bool,
    /// Whether a later step takes a secret from an earlier one.
    pub(super) may_print_secret: bool,
}

impl NativeStep {
    /// Whether what the step does is known only when the earlier ones have run.
    pub fn waits(&self) -> bool {
        self.waits
    }

    /// Whether the outputs have to be kept.
    pub(crate) fn is_read(&self) -> bool {
        self.is_read
    }

    /// Whether what the step prints is not for the log, because it may be a later step's secret.
    pub(crate) fn may_print_secret(&self) -> bool {
        self.may_print_secret
    }

    /// The secrets among these inputs.
    pub(crate) fn add_secrets(&self, inputs: &Map<String, Value>, secrets: &mut Secrets) {
        add_secrets(self.kind, inputs, secrets);
    }
}

pub(super) fn add_secrets(kind: StepKind, inputs: &Map<String, Value>, secrets: &mut Secrets) {
    for (name, value) in inputs {
        if kind.input(name).is_some_and(|input| input.is_secret) {
            secrets.add(value);
        }
    }
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepAction {
    /// `set_working_directory`: go on in this directory; a relative one starts from the current one.
    SetWorkingDirectory(Utf8PathBuf),
    /// `git_clone`: bring a repository to a directory of the current one.
    GitClone(GitClone),
    /// `run_shell_script`: run each line of a script.
    RunShellScript(ShellScript),
    /// `pip_install_requirements`: install packages for the Python of the run.
    PipInstall(PipInstall),
    /// `pull_from_remote_storage`, `pull_with_block` and the steps for the clouds: bring a folder of an object store.
    Fetch(Box<ObjectFetch>),
}

impl StepAction {
    /// Whether the step is about a place that only the flow's process sees as its author means it: of another machine or
    /// container, which has the code, the rest is not known here; and what another user may see and change here, the worker does
    /// not know.
    pub(super) fn leaves_this_machine(&self, site: &RunSite) -> bool {
        match self {
            Self::SetWorkingDirectory(directory) => {
                let leads_up = directory.components().any(|part| matches!(part, Utf8Component::ParentDir));
                !site.has_our_rights() && (directory.is_absolute() || leads_up)
            }
            Self::Fetch(fetch) => !site.has_our_rights() && fetch.is_of_the_machine(),
            Self::GitClone(clone) => site.is_of_another_user && clone.repository.is_local(),
            Self::RunShellScript(_) | Self::PipInstall(_) => false,
        }
    }
}

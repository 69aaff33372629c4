//! Decides who runs a deployment's pull steps: pure.
//!
//! A list of steps is run natively as a whole or not at all, because what a later step does depends on the directory
//! and the outputs that an earlier one left. Whatever is not certain to come out exactly as in the SDK is the SDK's,
//! and so are inputs the SDK would refuse: which ones those are depends on its version.

mod entrypoint;
mod git_clone;
mod inputs;
mod reason;
mod repository;
#[cfg(test)]
mod tests;

use camino::Utf8PathBuf;
use serde::Serialize;
use serde_json::{Map, Value};

pub use entrypoint::FileEntrypoint;
pub use git_clone::{GitClone, Revision};
pub use reason::EngineReason;
pub use repository::Repository;

use inputs::{CloneOutputs, StepInputs};

const STEPS_MODULE: &str = "prefect.deployments.steps.";

/// What the API says about where a deployment's code is.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeploymentCode<'a> {
    /// The deployment's `pull_steps`, as delivered: a list of objects with one key each, null or absent.
    pub pull_steps: Option<&'a Value>,
    /// The deployment's `entrypoint`.
    pub entrypoint: Option<&'a str>,
    /// Whether the deployment has a `storage_document_id`.
    pub has_storage_block: bool,
    /// Whether the flow's process will see the files of this machine.
    pub shares_file_system: bool,
}

/// Who runs the pull steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullPlan {
    /// The worker, before the flow's process starts.
    Native(NativePull),
    /// The Prefect SDK, inside the flow's process.
    Engine {
        /// Why the worker does not; for the run's log.
        reason: EngineReason,
    },
}

/// Pull steps that the worker can run: at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativePull {
    /// The steps, in order.
    pub steps: Vec<NativeStep>,
    /// What the flow's process has to load afterwards.
    pub entrypoint: FileEntrypoint,
}

/// One pull step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeStep {
    /// The step as the deployment has it.
    pub record: StepRecord,
    /// What it does.
    pub action: StepAction,
}

/// A step as the deployment has it, in the shape of the payload of a `prefect.flow-run.pull-step.executed` event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepRecord {
    /// Position in the deployment's list, from 0.
    pub index: usize,
    /// The importable name of the step's function.
    pub qualified_name: String,
    /// The last part of that name.
    pub step_name: String,
    /// The name by which later steps refer to its outputs.
    pub id: Option<String>,
    /// The inputs, with their placeholders.
    pub inputs: Map<String, Value>,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepAction {
    /// `set_working_directory`: go on in this directory; a relative one starts from the current one.
    SetWorkingDirectory(Utf8PathBuf),
    /// `git_clone`: bring a repository to a directory of the current one.
    GitClone(GitClone),
}

/// Decides who runs the pull steps of a deployment.
pub fn plan(code: &DeploymentCode<'_>) -> PullPlan {
    match native(code) {
        Ok(pull) => PullPlan::Native(pull),
        Err(reason) => PullPlan::Engine { reason },
    }
}

fn native(code: &DeploymentCode<'_>) -> Result<NativePull, EngineReason> {
    if !code.shares_file_system {
        return Err(EngineReason::SeparateFileSystem);
    }
    let listed = match code.pull_steps {
        None | Some(Value::Null) => &[],
        Some(Value::Array(steps)) => steps.as_slice(),
        Some(_) => return Err(EngineReason::Malformed),
    };
    if listed.is_empty() {
        return Err(if code.has_storage_block { EngineReason::StorageBlock } else { EngineReason::LocalPath });
    }
    let entrypoint = FileEntrypoint::parse(code.entrypoint)?;
    let mut outputs = CloneOutputs::default();
    let mut steps = Vec::with_capacity(listed.len());
    for (index, step) in listed.iter().enumerate() {
        let step = step.as_object().ok_or(EngineReason::Malformed)?;
        // The SDK passes over an empty step.
        if !step.is_empty() {
            steps.push(native_step(index, step, &mut outputs)?);
        }
    }
    if steps.is_empty() { Err(EngineReason::Malformed) } else { Ok(NativePull { steps, entrypoint }) }
}

fn native_step(
    index: usize,
    step: &Map<String, Value>,
    outputs: &mut CloneOutputs,
) -> Result<NativeStep, EngineReason> {
    let mut entries = step.iter();
    let (Some((qualified_name, Value::Object(given))), None) = (entries.next(), entries.next()) else {
        return Err(EngineReason::Malformed);
    };
    let Some(name) = qualified_name.strip_prefix(STEPS_MODULE) else {
        return Err(EngineReason::UnknownStep { step: qualified_name.clone() });
    };
    let inputs = StepInputs::new(name, given, outputs);
    let action = match name {
        "set_working_directory" => set_working_directory(&inputs)?,
        "git_clone" => StepAction::GitClone(GitClone::parse(&inputs)?),
        _ => return Err(EngineReason::UnknownStep { step: qualified_name.clone() }),
    };
    let id = inputs.text("id")?.map(str::to_owned);
    if let Some(id) = &id {
        outputs.record(id, &action);
    }
    Ok(NativeStep {
        record: StepRecord {
            index,
            qualified_name: qualified_name.clone(),
            step_name: name.to_owned(),
            id,
            inputs: given.clone(),
        },
        action,
    })
}

fn set_working_directory(inputs: &StepInputs<'_>) -> Result<StepAction, EngineReason> {
    inputs.allow_only(&["directory"])?;
    match inputs.text("directory")? {
        Some(directory) => Ok(StepAction::SetWorkingDirectory(directory.into())),
        None => Err(inputs.unusable("directory", "is missing")),
    }
}

//! Whether code could be brought, found out without bringing any.

use camino::Utf8Path;
use tokio_util::sync::CancellationToken;

use crate::objects::{FetchOptions, ObjectSource};
use crate::plan::{NativePull, NativeStep, ObjectFetch, StepAction};
use crate::{CodeError, GitSource, PullOptions};

/// What looking at one pull step, or at the storage of a deployment without steps, came to.
#[derive(Debug)]
pub struct Looked {
    /// The step, as its author wrote its name; `storage`.
    pub step: String,
    /// What is there; none where there is nothing to look at before the step runs.
    pub found: Result<Option<String>, CodeError>,
}

/// Looks at what each step would bring, or what is in storage: repositories are asked for the commit, stores for the beginning of the list,
/// directories for being there. Nothing is written, and no program of a step runs.
///
/// # Cancel safety
///
/// May be dropped at any time: the programs that it started are killed.
pub async fn look(plan: &NativePull, options: &PullOptions) -> Vec<Looked> {
    let mut looked = Vec::new();
    if let Some(storage) = plan.storage() {
        looked.push(Looked { step: "storage".to_owned(), found: look_at_objects(plan, storage, options).await });
    }
    looked.extend(futures::future::join_all(plan.steps().iter().map(|step| look_at(plan, step, options))).await);
    looked
}

async fn look_at_objects(
    plan: &NativePull,
    wanted: &ObjectFetch,
    options: &PullOptions,
) -> Result<Option<String>, CodeError> {
    let options = FetchOptions {
        time_limit: options.time_limit,
        attempts: options.attempts,
        environment: plan.site().environment.clone(),
        ..FetchOptions::default()
    };
    Ok(Some(ObjectSource::new(wanted.pull.clone(), options).look().await?))
}

async fn look_at(plan: &NativePull, step: &NativeStep, options: &PullOptions) -> Looked {
    let found = if step.waits() { Ok(None) } else { find(plan, &step.planned, options).await };
    Looked { step: step.record.step_name.clone(), found }
}

async fn find(plan: &NativePull, action: &StepAction, options: &PullOptions) -> Result<Option<String>, CodeError> {
    match action {
        StepAction::GitClone(wanted) => {
            let source = GitSource::new(wanted.clone(), PullOptions { cache: None, ..options.clone() });
            source.look(&CancellationToken::new()).await
        }
        StepAction::Fetch(wanted) => look_at_objects(plan, wanted, options).await,
        StepAction::SetWorkingDirectory(directory) if directory.is_absolute() => is_directory(directory),
        StepAction::SetWorkingDirectory(_) | StepAction::RunShellScript(_) | StepAction::PipInstall(_) => Ok(None),
    }
}

fn is_directory(directory: &Utf8Path) -> Result<Option<String>, CodeError> {
    match fs_err::read_dir(directory) {
        Ok(_) => Ok(Some(format!("{directory} is there"))),
        Err(source) => Err(CodeError::Directory { directory: directory.to_owned(), source }),
    }
}

//! Bringing a flow's code, where the worker does it instead of the flow's process.

use camino::Utf8PathBuf;
use central_api_wire::deployment::Deployment;
use code_storage::{CodeError, DeploymentCode, EngineReason, NativePull, PullOptions, PullPlan};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use worker_core::job_configuration::PreparedJob;
use worker_core::spec::CodeInPlace;

use super::context::RunContext;
use super::worker_event::pull_step_event;

/// Runs the deployment's pull steps here if all of them are of the kind that the worker knows. `None` leaves them to the
/// flow's own process, which can run every step that there is.
///
/// # Errors
/// A step that the worker runs failed; the same step would have failed in the flow's process.
pub(super) async fn bring(
    cx: &RunContext,
    deployment: Option<&Deployment>,
    job: &PreparedJob,
) -> Result<Option<CodeInPlace>, CodeError> {
    let Some(deployment) = deployment else { return Ok(None) };
    if !starts_the_engine(job) {
        return Ok(None);
    }
    let pull = match code_storage::plan(&code_of(deployment, cx.around.plugin.takes_code(&job.fields))) {
        PullPlan::Native(pull) => pull,
        PullPlan::Engine { reason } => {
            if !matches!(reason, EngineReason::LocalPath | EngineReason::SeparateFileSystem) {
                cx.log().info(format!("The flow's own process runs the pull steps: {reason}"));
            }
            return Ok(None);
        }
    };
    pull_here(cx, deployment, job, &pull).await.map(Some)
}

/// A command of the user's own may be anything, and a working directory of the user's own is where its pull steps
/// happen: both are left as Prefect's worker has them.
fn starts_the_engine(job: &PreparedJob) -> bool {
    job.command.is_none() && job.fields.get("working_dir").is_none_or(Value::is_null)
}

fn code_of(deployment: &Deployment, shares_file_system: bool) -> DeploymentCode<'_> {
    DeploymentCode {
        pull_steps: deployment.pull_steps.as_ref(),
        entrypoint: deployment.entrypoint.as_deref(),
        has_storage_block: deployment.storage_document_id.is_some(),
        shares_file_system,
    }
}

async fn pull_here(
    cx: &RunContext,
    deployment: &Deployment,
    job: &PreparedJob,
    pull: &NativePull,
) -> Result<CodeInPlace, CodeError> {
    let checkout = checkout(cx);
    if cx.is_resumed {
        // An earlier process may have left a part of it.
        remove(cx).await;
    }
    fs_err::tokio::create_dir_all(&checkout)
        .await
        .map_err(|source| CodeError::Directory { directory: checkout.clone(), source })?;
    let options = PullOptions { env: job.env.clone(), ..PullOptions::default() };
    let pulled = code_storage::pull(pull, &checkout, &options, &CancellationToken::new()).await?;
    for step in &pull.steps {
        cx.around.api.emit(pull_step_event(cx.offer.key.run, deployment, &step.record));
    }
    let commits: Vec<_> = pulled.checkouts.iter().map(|checkout| format!(" at commit {}", checkout.revision)).collect();
    let count = pull.steps.len();
    cx.log()
        .info(format!("The worker ran the deployment's {count} pull steps; the code is in place{}", commits.join(",")));
    // A flow's process that pulls by itself begins there too, and so can import the checkout by its folder's name.
    let importable = (!pulled.checkouts.is_empty()).then(|| pulled.started_in.into_string());
    Ok(CodeInPlace { importable, ..pulled.code })
}

/// The folder of an execution's code.
fn checkout(cx: &RunContext) -> Utf8PathBuf {
    cx.around.settings.code_directory.join(format!("{}-code", cx.offer.key))
}

/// Removes the folder of an execution, if there is one. What cannot be removed is left behind and said.
pub(super) async fn remove(cx: &RunContext) {
    match fs_err::tokio::remove_dir_all(checkout(cx)).await {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!("the run's checkout was not removed: {error}"),
    }
}

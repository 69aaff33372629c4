//! Bringing a flow's code, where the worker does it instead of the flow's process.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use camino::Utf8PathBuf;
use central_api_wire::deployment::Deployment;
use code_storage::plan::{NativeStep, StepAction, StepRecord};
use code_storage::{CodeError, EngineReason, NativePull, PullLog, PullOptions, Pulled, RunSite};
use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use worker_core::spec::{CodeInPlace, RunSpec};

use super::context::RunContext;
use super::judging::Judge;
use super::prepare::{PrepareError, fetch};
use super::worker_event::{StepEnd, pull_step_event};
use crate::policy;
use crate::pulling;

/// The label that says which code a run had.
const LABEL: &str = "worker.code";

/// How long a run waits for its label at most.
const LABEL_LIMIT: Duration = Duration::from_secs(5);

/// Runs the deployment's pull steps here if all of them are of the kind that the worker knows, or fetches from its storage if
/// that is. `None` leaves it to the flow's own process, which can run every step and read every storage that there is.
///
/// # Errors
/// The policy does not allow it. What the worker did failed; the same would have failed in the flow's process. Or the API did not
/// say what it takes.
pub(super) async fn bring(
    cx: &RunContext,
    deployment: Option<&Deployment>,
    spec: &RunSpec,
    judge: &Judge<'_>,
) -> Result<Option<CodeInPlace>, PrepareError> {
    let Some(deployment) = deployment else { return Ok(None) };
    if !pulling::starts_the_engine(spec) {
        judge.code(&policy::code::of_deployment(deployment))?;
        return Ok(None);
    }
    if let Some(steps) = &deployment.pull_steps {
        cx.around.secrets.learn_named(steps);
    }
    let site = pulling::site(&*cx.around.plugin, &cx.around.settings.worker_environment, spec);
    match pulling::plan(deployment, &site, |reference| async move { fetch(cx, &reference).await }).await? {
        Ok(pull) => {
            judge.code(&policy::code::of_pull(&pull))?;
            pull_here(cx, deployment, environment_here(spec, &site, judge), &pull, judge).await
        }
        Err(reason) => {
            judge.code(&policy::code::of_deployment(deployment))?;
            if !matches!(reason, EngineReason::LocalPath | EngineReason::SeparateFileSystem) {
                left(cx, deployment, &reason);
            }
            Ok(None)
        }
    }
}

/// The entrypoint for `worker pull`, if the run is one that it brings the code of.
pub(super) async fn entrypoint_elsewhere(
    cx: &RunContext,
    deployment: Option<&Deployment>,
    spec: &RunSpec,
) -> Result<Option<String>, PrepareError> {
    let Some(deployment) = deployment.filter(|_| cx.around.plugin.has_code_brought(&spec.fields)) else {
        return Ok(None);
    };
    let site = pulling::elsewhere(spec.env.clone());
    let planned = pulling::plan(deployment, &site, |reference| async move { fetch(cx, &reference).await }).await?;
    Ok(planned.ok().and_then(|pull| pulling::entrypoint_elsewhere(&pull)))
}

/// What of the run's environment counts for programs that bring its code here. Of a container's, which is another machine's,
/// only its way to the network: its `PATH` or its certificates are not here, and `GIT_SSH_COMMAND` would be a program of the
/// run's that is executed outside of its container.
///
/// The same holds for a process of another user, which would have its programs executed as the worker's; and for code that has to
/// be signed: with a `PATH` or a `GIT_CONFIG_...` of its own, a run could say what comes.
fn environment_here(spec: &RunSpec, site: &RunSite, judge: &Judge<'_>) -> BTreeMap<String, String> {
    if site.is_here && !site.is_of_another_user && judge.signatures().iter().all(|required| required.only_reports) {
        spec.env.clone()
    } else {
        pulling::proxies(&spec.env).collect()
    }
}

/// What the steps of a run print goes to its log, and what they take is counted.
struct Pulling<'r>(&'r RunContext);

impl PullLog for Pulling<'_> {
    fn output(&self, line: String) {
        self.0.log().output(line, Timestamp::now());
    }

    fn step_ended(&self, step: &StepRecord, took: Duration, is_done: bool) {
        self.0.metrics().pulled(&step.step_name, took, is_done);
        self.0.trace.pulled(&step.step_name, took, is_done);
    }
}

async fn pull_here(
    cx: &RunContext,
    deployment: &Deployment,
    env: BTreeMap<String, String>,
    pull: &NativePull,
    judge: &Judge<'_>,
) -> Result<Option<CodeInPlace>, PrepareError> {
    let checkout = checkout(cx);
    if cx.is_resumed {
        // An earlier process may have left a part of it.
        remove(cx).await;
    }
    let tell = |step: &_, end| cx.around.api.emit(pull_step_event(cx.offer.key.run, deployment, step, end));
    let options = PullOptions { env, signatures: judge.signatures(), ..cx.around.settings.pulling.clone() };
    let pulled = match pulling::into(&checkout, pull, &options, &Pulling(cx), &CancellationToken::new()).await {
        Ok(pulled) => pulled,
        Err(failure) if failure.is_left_to_engine() => {
            remove(cx).await;
            left(cx, deployment, &failure.error);
            return Ok(None);
        }
        Err(failure) => {
            failure.executed.iter().for_each(|step| tell(step, StepEnd::Executed));
            failure.failed.iter().for_each(|step| tell(step, StepEnd::Failed));
            return Err(if let CodeError::Unsigned(objection) = failure.error {
                PrepareError::Refused(*objection)
            } else {
                PrepareError::Code(failure.error)
            });
        }
    };
    pulled.executed.iter().for_each(|step| tell(step, StepEnd::Executed));
    judge.report(pulled.checkouts.iter().flat_map(|checkout| &checkout.reported));
    cx.log().info(pulling::summary(pull, &pulled));
    label(cx, &pulled).await;
    // A flow's process that pulls by itself begins there too, and so can import from there: the checkout by its folder's
    // name, or what a step has made.
    let may_leave_code = |step: &NativeStep| !matches!(step.planned, StepAction::SetWorkingDirectory(_));
    let leaves_code = pull.storage().is_some() || pull.steps().iter().any(may_leave_code);
    let importable = leaves_code.then(|| pulled.started_in.into_string());
    Ok(Some(CodeInPlace { importable, ..pulled.code }))
}

/// Tells the run's log why its code is brought as with Prefect's worker.
fn left(cx: &RunContext, deployment: &Deployment, reason: &dyn fmt::Display) {
    let has_steps = deployment.pull_steps.as_ref().and_then(Value::as_array).is_some_and(|steps| !steps.is_empty());
    let does = if has_steps { "runs the pull steps" } else { "fetches its code" };
    cx.log().info(format!("The flow's own process {does}: {reason}"));
}

/// Labels the run with what it runs. An API that is away or does not know labels keeps no run from running.
async fn label(cx: &RunContext, pulled: &Pulled) {
    let sources = pulling::provenance(pulled);
    if sources.is_empty() {
        return;
    }
    let labels = Map::from_iter([(LABEL.to_owned(), Value::from(sources.join(", ")))]);
    let labelled = tokio::time::timeout(LABEL_LIMIT, cx.around.api.set_labels(cx.offer.key.run, &labels));
    if !matches!(labelled.await, Ok(Ok(()))) {
        tracing::debug!("the run was not labelled with its code");
    }
}

/// The folder of an execution's code.
fn checkout(cx: &RunContext) -> Utf8PathBuf {
    cx.around.settings.code_directory.join(format!("{}-code", cx.offer.key))
}

/// Removes the folder of an execution, if there is one. What cannot be removed is left behind and said.
pub(super) async fn remove(cx: &RunContext) {
    let checkout = checkout(cx);
    // Most runs have none, and need no thread to find that out.
    if matches!(checkout.symlink_metadata(), Err(error) if error.kind() == std::io::ErrorKind::NotFound) {
        return;
    }
    match fs_err::tokio::remove_dir_all(checkout).await {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!("the run's checkout was not removed: {error}"),
    }
}

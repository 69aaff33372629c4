//! Reporting the end of a run.

use central_api_client::Verdict;
use central_api_wire::flow_run::FlowRun;
use central_api_wire::state::{SetStateRequest, StateType};
use infra_contract::{CancelsRunning, FlowHooks, OutputLine};
use serde::{Deserialize, Serialize};
use worker_core::exit::{Exit, ExitReport};
use worker_core::exit_codes::{self, ExitLogLevel};
use worker_core::handle::{Handle, PluginKind};
use worker_core::machine::{CrashCause, Outcome};

use super::asking::{ask, history, read_back};
use super::cancelled;
use super::context::RunContext;
use super::error_chain::ErrorChain;
use super::hooks;
use super::patience::patiently;
use super::proposal;
use super::rerun;
use super::standing::{moved_on, pending_is_ours};
use super::worker_event::{RunSubject, Submitted};
use crate::metrics::End;

/// What the reports of one execution have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    pub(super) subject: RunSubject,
    pub(super) submitted: Submitted,
}

/// Brings the end of a run to the API: state, log, events. Returns once the API has taken or refused it for good, and
/// waits for as long as it answers neither.
pub(super) async fn report(cx: &RunContext, outcome: &Outcome, handle: Option<&Handle>, told: Option<&Told>) {
    let run = cx.offer.key.run;
    if has_moved_on(cx).await {
        cx.note("the run was executed anew since; nothing is reported of this execution");
        return came_to(cx, End::LeftAlone);
    }
    let end = match outcome {
        Outcome::Settled(exit) => {
            tracing::debug!(?exit, "the engine has settled the run's state");
            finish_overlooked_cancellation(cx, handle, told).await;
            End::Settled
        }
        Outcome::Completed => {
            propose(cx, &proposal::completed(cx.offer.key)).await;
            End::Completed
        }
        Outcome::Failed(report) => {
            let message = exit_message(&cx.around.plugin.kind(), report);
            cx.log().error(format!("Flow run '{}' failed: {message}", cx.offer.flow_run.name));
            cx.trace.failed(&message);
            propose(cx, &proposal::failed(cx.offer.key, message)).await;
            End::Failed
        }
        Outcome::Crashed(cause) => crash(cx, cause, handle, told).await,
        Outcome::Cancelled(_) => {
            cancel(cx, handle, told).await;
            End::Cancelled
        }
        Outcome::Released => {
            release(cx).await;
            End::Released
        }
    };
    came_to(cx, end);
    if let (Some(told), Some(handle), Some(code)) = (told, handle, outcome.status_code()) {
        cx.around.api.emit(told.subject.executed(cx.offer.key, &handle.infra_id.0, code, Some(told.submitted)));
    }
    // What is in the log of a run that ended well is no news: it goes with the lines of others.
    if !matches!(outcome, Outcome::Completed | Outcome::Settled(_)) {
        cx.around.api.flush_logs(run).await;
    }
}

fn came_to(cx: &RunContext, end: End<'_>) {
    cx.metrics().ended(end);
    cx.trace.came_to(end.outcome(), end.cause());
}

async fn crash<'c>(cx: &RunContext, cause: &'c CrashCause, handle: Option<&Handle>, told: Option<&Told>) -> End<'c> {
    let message = crash_message(&cx.around.plugin.kind(), cause);
    cx.trace.failed(&message);
    let name = &cx.offer.flow_run.name;
    if let CrashCause::Submit(why) | CrashCause::Policy(why) = cause {
        cx.log().error(format!("Failed to submit flow run '{name}' to infrastructure.\n{why}"));
    }
    let run = cx.offer.key.run;
    if rerun::put_back(cx, cause, &message).await {
        return End::PutBack(cause);
    }
    let Some(last_output) = last_output(cx, handle).await else {
        cx.note("what ran inside has put the run back; nothing is reported of this execution");
        return End::LeftAlone;
    };
    // The run's log is complete before its state says that it is over.
    cx.around.api.flush_logs(run).await;
    match ask(cx, &proposal::crashed(cx.offer.key, message.clone())).await {
        Some(verdict) if hooks::is_ours(cx, "crashed", &verdict).await => {
            for line in last_output {
                cx.log().last_output(line);
            }
            hint_at(cx, cause);
            cx.log().info(format!("Reported flow run '{run}' as crashed: {message}"));
            hooks::run(cx, handle, FlowHooks::OnCrashed).await;
            End::Crashed(cause)
        }
        Some(Verdict::Reject { state: Some(state), .. }) if state.state_type == StateType::Cancelling => {
            cancel(cx, handle, told).await;
            End::Cancelled
        }
        Some(_) | None => End::LeftAlone,
    }
}

/// What infrastructure wrote whose engine never reported anything: nobody else has it. `None` if the run was put back from
/// inside, or waits there, and its end is no crash.
async fn last_output(cx: &RunContext, handle: Option<&Handle>) -> Option<Vec<OutputLine>> {
    let Some(handle) = handle.filter(|_| cx.around.plugin.capabilities().puts_runs_back) else {
        return Some(Vec::new());
    };
    let state = read_back(cx).await.and_then(|current| current.state_type);
    match state {
        Some(StateType::Scheduled | StateType::Paused) => None,
        Some(StateType::Pending) => match cx.around.plugin.last_output(handle).await {
            Ok(lines) => Some(lines),
            Err(error) => {
                tracing::warn!("the last output cannot be read: {}", ErrorChain(&error));
                Some(Vec::new())
            }
        },
        _ => Some(Vec::new()),
    }
}

/// Says what to do about an exit code; only where it is what ended the run, for an engine that reported a failed flow may
/// exit with 1 as well.
fn hint_at(cx: &RunContext, cause: &CrashCause) {
    let CrashCause::Exited(report) = cause else { return };
    let explanation = exit_codes::explain(report.exit.status_code().into());
    match explanation.level {
        ExitLogLevel::Info => cx.log().info(explanation.hint),
        ExitLogLevel::Error => cx.log().error(explanation.hint),
    }
}

/// The message on a run whose cancellation the worker finished.
const CANCELLED: &str = "Flow run was cancelled successfully.";

/// The message on a run that was put back.
const RELEASED: &str = "The worker stopped before it started this run; another worker can take it.";

async fn cancel(cx: &RunContext, handle: Option<&Handle>, told: Option<&Told>) {
    let run = cx.offer.key.run;
    cx.around.api.flush_logs(run).await;
    let message = if handle.is_some() { CANCELLED } else { proposal::CANCELLED_BEFORE_START };
    let Some(before) = cancelled::settle(cx, message).await else { return };
    if !hooks::engine_cancelled(before.as_ref()) {
        hooks::run(cx, handle, FlowHooks::OnCancellation).await;
    }
    if let (Some(told), Some(_)) = (told, handle) {
        cx.around.api.emit(told.subject.cancelled(cx.offer.key));
    }
}

/// Gives a run back that was claimed and not started, if it is still as we claimed it: since then somebody may have ended
/// it, and the server would take Scheduled for a new try.
async fn release(cx: &RunContext) {
    let Some(current) = read_back(cx).await else { return };
    match current.state_type {
        Some(StateType::Pending) if pending_is_ours(cx.offer.key, &current) => {
            tracing::info!("the run was not started and goes back to Scheduled");
            let due = cx.offer.flow_run.next_scheduled_start_time;
            propose(cx, &proposal::scheduled(cx.offer.key, due, RELEASED)).await;
        }
        Some(StateType::Cancelling) => {
            cancelled::settle(cx, proposal::CANCELLED_BEFORE_START).await;
        }
        _ => tracing::info!("the run was not started here, and is over or somebody else's"),
    }
}

/// A flow that was cancelled in its last moment ends by itself before the worker can stop it, and the server refuses its
/// Completed. Where only the worker cancels runs, nobody else would finish that.
async fn finish_overlooked_cancellation(cx: &RunContext, handle: Option<&Handle>, told: Option<&Told>) {
    if cx.around.plugin.capabilities().cancels_running != CancelsRunning::Worker {
        return;
    }
    if let Some(current) = read_back(cx).await
        && current.state_type == Some(StateType::Cancelling)
    {
        cancel(cx, handle, told).await;
    }
}

/// The text on a run that failed by its infrastructure: for the flow's author.
pub(super) fn crash_message(kind: &PluginKind, cause: &CrashCause) -> String {
    match cause {
        CrashCause::Submit(why) | CrashCause::Policy(why) => {
            format!("Failed to submit flow run to infrastructure: {why}")
        }
        CrashCause::Exited(report) => exit_message(kind, report),
        CrashCause::Gone => "Flow run infrastructure disappeared, and how it ended is not known.".to_owned(),
        CrashCause::WorkerStopped(report) => {
            // What it last wrote says nothing about why it was stopped.
            let how = |report: &ExitReport| format!(" {}", exit_message(kind, &ExitReport::bare(report.exit)));
            let ended = report.as_ref().map_or_else(String::new, how);
            format!("The worker that executed this flow run was stopped and ended it.{ended}")
        }
        CrashCause::Unobserved(_) => {
            "The worker could not find out for a long time whether this flow run was cancelled, \
                                      and PREFECT_RUNNER_CRASH_ON_CANCELLATION_FAILURE asks for its end in that case."
                .to_owned()
        }
    }
}

/// Prefect's process worker has words of its own.
fn exit_message(kind: &PluginKind, report: &ExitReport) -> String {
    let ended = match report.exit {
        Exit::NeverStarted => "Flow run infrastructure never started.".to_owned(),
        Exit::Code(_) | Exit::Signal(_) if kind.as_str() == "process" => {
            exit_codes::process_message(report.exit.status_code().into())
        }
        Exit::Code(_) | Exit::Signal(_) | Exit::OutOfMemory | Exit::Evicted | Exit::NodeLost | Exit::Vanished => {
            exit_codes::infrastructure_message(report.exit.status_code().into())
        }
    };
    match &report.detail {
        Some(detail) => format!("{ended}\n{detail}"),
        None => ended,
    }
}

/// Proposes what needs no answer but to have arrived. A proposal that is refused because the run is being cancelled ends
/// that cancellation: its infrastructure is gone, and nobody is left who else could.
async fn propose(cx: &RunContext, request: &SetStateRequest) {
    match ask(cx, request).await {
        Some(Verdict::Reject { state: Some(state), .. }) if state.state_type == StateType::Cancelling => {
            finish_cancellation(cx).await;
        }
        Some(Verdict::Abort { reason } | Verdict::Reject { reason, .. }) => {
            let reason = reason.unwrap_or_default();
            tracing::info!(state = request.state.state_type.as_str(), "the server keeps the run's own state: {reason}");
        }
        Some(Verdict::Accept(_) | Verdict::Wait { .. }) | None => {}
    }
}

async fn finish_cancellation(cx: &RunContext) {
    cancelled::settle(cx, CANCELLED).await;
    tracing::info!("the run was being cancelled, and is now");
}

/// Says that the command runs, where it cannot say so itself. A later process says so only if nobody has: the server would take
/// it also for a run that is over.
pub(super) async fn report_running(cx: &RunContext) {
    if cx.is_resumed {
        let is_pending = |run: &FlowRun| run.state_type == Some(StateType::Pending);
        if !read_back(cx).await.as_ref().is_some_and(is_pending) {
            return;
        }
    }
    let verdict = ask(cx, &proposal::running(cx.offer.key)).await;
    tracing::debug!(?verdict, "Running was proposed");
}

/// Stores the infrastructure's id at the API.
pub(super) async fn record_infra(cx: &RunContext, handle: &Handle) {
    if has_moved_on(cx).await {
        return;
    }
    let name = &cx.offer.flow_run.name;
    match patiently(|| cx.around.api.set_infra_id(cx.offer.key.run, &handle.infra_id)).await {
        Ok(()) => {}
        Err(error) if error.is_not_found() => tracing::info!("the flow run was deleted while it was started"),
        Err(error) => cx.log().warn(format!(
            "An error occurred while setting the `infrastructure_pid` on flow run '{name}'. The flow run will not be \
             cancellable by other workers: {}",
            ErrorChain(&error)
        )),
    }
    // An earlier process has said so.
    if !cx.is_resumed {
        cx.log().info(format!("Flow run '{name}' submitted to infrastructure"));
    }
}

/// Whether the run went on without the execution that an earlier process left: then nothing of this one is news.
async fn has_moved_on(cx: &RunContext) -> bool {
    cx.is_resumed && history(cx).await.is_some_and(|history| moved_on(cx.offer.key, &history))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_on_a_crashed_run() {
        let process = PluginKind::new("process");
        let exited = |exit| CrashCause::Exited(ExitReport::bare(exit));
        insta::assert_snapshot!(crash_message(&process, &exited(Exit::Code(3))), @"Process exited with status code: 3. Process exited with an unexpected status code.");
        assert!(
            crash_message(&process, &exited(Exit::Signal(9)))
                .starts_with("Process exited with status code: -9. Process exited due to a SIGKILL signal.")
        );
        insta::assert_snapshot!(crash_message(&process, &CrashCause::Submit("no such image".to_owned())), @"Failed to submit flow run to infrastructure: no such image");
        assert!(
            crash_message(&process, &CrashCause::WorkerStopped(Some(ExitReport::bare(Exit::Signal(15)))))
                .starts_with("The worker that executed this flow run was stopped and ended it. Process exited")
        );
        let docker = PluginKind::new("docker");
        insta::assert_snapshot!(crash_message(&docker, &exited(Exit::Code(3))), @"Flow run infrastructure exited with non-zero status code 3. Process exited with an unexpected status code.");
        let detailed =
            ExitReport { detail: Some("the interpreter has no Prefect".to_owned()), ..ExitReport::bare(Exit::Code(1)) };
        assert!(crash_message(&process, &CrashCause::Exited(detailed)).ends_with("\nthe interpreter has no Prefect"));
    }
}

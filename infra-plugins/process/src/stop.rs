//! Stopping a run.

use std::time::Duration;

use infra_contract::Killed;
use rustix::process::Signal;
use tokio::time::timeout;
use worker_core::machine::KillIntent;

use crate::control::CancelAnswer;
use crate::error::ProcessError;
use crate::run::Run;

/// How long a killed process may take to end.
const DEATH_LIMIT: Duration = Duration::from_secs(15);

/// Stops a run: asks the command first, unless it is to be forced, and ends all of its processes once the command has
/// ended or its grace is over. The signal that asks goes to the command alone; the engine sees to its own children.
///
/// # Cancel safety
/// Cancel safe: asked again, it begins with what is still there, and asks the command only once.
pub(crate) async fn stop(run: &Run, intent: KillIntent, grace: Duration) -> Result<Killed, ProcessError> {
    if run.end().is_some() {
        // What it left in the background when it ended by itself goes now.
        run.tree.sweep().await;
        return Ok(Killed::AlreadyGone);
    }
    run.note_stopping();
    run.tree.remember().await;
    let obeyed = match intent {
        KillIntent::Force => false,
        KillIntent::Cancel | KillIntent::Shutdown => {
            ask(run, intent).await?;
            timeout(grace, run.process_ended()).await.is_ok()
        }
    };
    if !obeyed {
        run.note_forced();
        run.tree.sweep().await;
        // Where there is no `/proc` to sweep by.
        run.process.signal(Signal::KILL)?;
    }
    if timeout(DEATH_LIMIT, run.ended()).await.is_err() {
        return Err(ProcessError::DoesNotEnd { pid: run.process.identity().pid });
    }
    run.tree.sweep().await;
    Ok(run.killed())
}

/// Asks the command to end, in the way that makes the engine settle the run as what the intent means.
async fn ask(run: &Run, intent: KillIntent) -> Result<(), ProcessError> {
    if intent == KillIntent::Cancel
        && let Some(session) = &run.session
    {
        match session.cancel().await {
            // It is about to end by itself; a signal would only disturb that.
            CancelAnswer::AlreadyConcluded => return Ok(()),
            CancelAnswer::Acknowledged => {}
            CancelAnswer::Unheard => tracing::debug!("the engine did not acknowledge the cancellation"),
        }
    }
    if run.first_termination() { run.process.signal(Signal::TERM) } else { Ok(()) }
}

//! Stopping a run.

use std::time::Duration;

use infra_contract::Killed;
use rustix::process::Signal;
use tokio::time::timeout;
use worker_core::machine::KillIntent;

use crate::error::ProcessError;
use crate::orders::{Announced, Order};
use crate::run::Run;
use crate::supervision::ANSWER_LIMIT;
use crate::tree::SWEEP_LIMIT;

/// How long a killed process may take to end.
const DEATH_LIMIT: Duration = Duration::from_secs(15);

/// Stops a run: asks the command first, unless it is to be forced, and ends all of its processes once the command has
/// ended or its grace is over. The signal that asks goes to the command alone; the engine sees to its own children.
///
/// The supervisor does it, which sees every process of the run. Without one, or one that answers, it is done from here.
///
/// # Cancel safety
/// Cancel safe: asked again, it begins with what is still there, and asks the command only once.
pub(crate) async fn stop(run: &Run, intent: KillIntent, grace: Duration) -> Result<Killed, ProcessError> {
    if run.end().is_some() {
        return Ok(Killed::AlreadyGone);
    }
    let obeyed = match intent {
        KillIntent::Force => false,
        KillIntent::Cancel | KillIntent::Shutdown => {
            ask(run, intent).await?;
            timeout(grace, run.process.ended()).await.is_ok()
        }
    };
    if !obeyed {
        run.note_forced();
        force(run).await?;
    }
    if timeout(DEATH_LIMIT, run.ended()).await.is_err() && !ends_without_supervisor(run).await? {
        return Err(ProcessError::DoesNotEnd { pid: run.process.identity().pid });
    }
    Ok(run.killed())
}

/// Asks the command to end, in the way that makes the engine settle the run as what the intent means.
async fn ask(run: &Run, intent: KillIntent) -> Result<(), ProcessError> {
    if intent == KillIntent::Cancel {
        match order(run, Order::Cancel).await.unwrap_or(Announced::Unheard) {
            // It is about to end by itself; a signal would only disturb that.
            Announced::AlreadyConcluded => return Ok(()),
            Announced::Acknowledged => {}
            Announced::Unheard => tracing::debug!("the engine did not acknowledge the cancellation"),
        }
    }
    // A supervisor that answers again after it did not, and was done without, knows nothing of that signal.
    if run.was_terminated() || order::<String>(run, Order::Terminate).await.is_some() {
        return Ok(());
    }
    // What loses its parent now is found by this later.
    run.tree.remember().await;
    if run.first_termination() { run.process.signal(Signal::TERM) } else { Ok(()) }
}

/// Kills everything, whether there is a supervisor or not.
async fn force(run: &Run) -> Result<(), ProcessError> {
    if order::<String>(run, Order::Kill).await.is_some() {
        return Ok(());
    }
    run.tree.remember().await;
    if let Some(supervision) = &run.supervision {
        // It is gone, or stopped: it would not write down the end then, which its own end stands for.
        supervision.end().await?;
    }
    run.sweep().await;
    // Where there is no `/proc` to sweep by.
    run.process.signal(Signal::KILL)
}

/// Whether it was only a stopped supervisor that kept the end from being known.
async fn ends_without_supervisor(run: &Run) -> Result<bool, ProcessError> {
    let Some(supervision) = run.supervision.as_ref().filter(|_| !run.process.identity().is_alive()) else {
        return Ok(false);
    };
    supervision.end().await?;
    Ok(timeout(SWEEP_LIMIT + ANSWER_LIMIT, run.ended()).await.is_ok())
}

async fn order<T: serde::de::DeserializeOwned>(run: &Run, order: Order) -> Option<T> {
    run.supervision.as_ref()?.order(order, ANSWER_LIMIT).await
}

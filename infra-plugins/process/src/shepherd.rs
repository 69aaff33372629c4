//! The one task of each run: it waits for the end, sees to what is left behind where no supervisor does, and collects the
//! supervisor.

use std::sync::Arc;

use tokio::process::Child;
use worker_core::exit::{Exit, ExitReport};

use crate::changes::Change;
use crate::run::Run;
use crate::supervision::Supervision;

/// Tends a run until its end is known, and then its supervisor until that has gone.
///
/// `supervisor` is the supervisor as a child of this worker, if it is one.
/// In a box, because the task of each run keeps room for it more than once.
pub(crate) async fn tend(run: Arc<Run>, exit: Option<Change>, mut supervisor: Option<Box<Child>>) {
    if run.end().is_none() {
        let told = match (&run.supervision, exit) {
            (Some(supervision), Some(exit)) => told_end(supervision, exit, supervisor.as_deref_mut()).await,
            _ => None,
        };
        let report = match told {
            Some(report) => report,
            // Seldom, and large: in a box it weighs nothing in the runs that have one.
            None => Box::pin(end_without_supervisor(&run)).await,
        };
        run.note_ended(report);
    }
    if let Some(child) = &mut supervisor {
        collect(child).await;
    }
}

/// What the supervisor writes about the end; `None` if it ends without a word.
async fn told_end(supervision: &Supervision, exit: Change, child: Option<&mut Child>) -> Option<ExitReport> {
    let gone = async {
        match child {
            Some(child) => collect(child).await,
            None => Box::pin(supervision.ended()).await,
        }
    };
    tokio::pin!(gone);
    loop {
        exit.mark_seen();
        if let Some(report) = supervision.exit() {
            return Some(report);
        }
        tokio::select! {
            () = exit.or_doubt() => {}
            // It may have written it just before.
            () = &mut gone => return supervision.exit(),
        }
    }
}

/// Waits until a child has gone. Cancel safe.
async fn collect(child: &mut Child) {
    if let Err(error) = child.wait().await {
        tracing::debug!(%error, "a supervisor cannot be waited for");
    }
}

/// The end of a command that nobody waits for can be seen, but not how it ended.
async fn end_without_supervisor(run: &Run) -> ExitReport {
    run.process.ended().await;
    run.tree.leader_is_reaped();
    run.sweep().await;
    ExitReport { detail: Some(run.why_unknown().to_owned()), ..ExitReport::bare(Exit::Vanished) }
}

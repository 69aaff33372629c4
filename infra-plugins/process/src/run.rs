//! A run that this worker has in hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::{StreamExt as _, stream};
use infra_contract::{EventStream, InfraEvent, Killed};
use tokio::sync::{Mutex, SetOnce};
use worker_core::exit::{Exit, ExitReport};
use worker_core::handle::Handle;

use crate::process::Process;
use crate::procfs::Identity;
use crate::supervision::Supervision;
use crate::tail::{Piece, Tail};
use crate::tree::Tree;

/// A run whose command was started or found by this worker. Its end is written by its shepherd and read by everybody.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) handle: Handle,
    /// The command.
    pub(crate) process: Process,
    pub(crate) tree: Arc<Tree>,
    /// Absent for a run that a worker of an earlier version started.
    pub(crate) supervision: Option<Supervision>,
    /// Absent if the output is not wanted. Every piece goes to one of the watchers.
    output: Option<Mutex<Tail>>,
    /// The first word about it stays.
    end: SetOnce<ExitReport>,
    terminated: AtomicBool,
    forced: AtomicBool,
}

impl Run {
    pub(crate) fn new(
        handle: Handle,
        process: Identity,
        supervision: Option<Supervision>,
        output: Option<Tail>,
        end: Option<ExitReport>,
    ) -> Arc<Self> {
        Arc::new(Self {
            tree: Tree::of(process, handle.key),
            process: Process::of_identity(process),
            handle,
            supervision,
            output: output.map(Mutex::new),
            end: SetOnce::new_with(end),
            terminated: AtomicBool::new(false),
            forced: AtomicBool::new(false),
        })
    }

    /// How it ended, if it has.
    pub(crate) fn end(&self) -> Option<ExitReport> {
        self.end.get().cloned()
    }

    /// Whether there is neither a command nor a supervisor that could say anything more.
    pub(crate) fn is_over(&self) -> bool {
        !self.process.identity().is_alive() && !self.supervision.as_ref().is_some_and(Supervision::is_alive)
    }

    /// Waits for the end. Cancel safe.
    pub(crate) async fn ended(&self) -> ExitReport {
        self.end.wait().await.clone()
    }

    /// The first word about the end stays.
    pub(crate) fn note_ended(&self, report: ExitReport) {
        drop(self.end.set(report));
    }

    /// For whoever still watches a run that is forgotten before its end.
    pub(crate) fn note_forgotten(&self) {
        self.note_ended(ExitReport::bare(Exit::Vanished));
    }

    /// Kills everything of it from here, where no supervisor does.
    pub(crate) async fn sweep(&self) {
        if let Some(cgroup) = self.supervision.as_ref().and_then(Supervision::cgroup) {
            cgroup.kill();
        }
        self.tree.sweep().await;
    }

    /// Why it cannot be told how it ended.
    pub(crate) const fn why_unknown(&self) -> &'static str {
        match self.supervision {
            Some(_) => "its exit code is unknown: its supervisor was killed",
            None => "its exit code is unknown: it was started by an earlier worker process",
        }
    }

    /// Whether this is the first termination without a supervisor, which remembers that itself. A second signal would
    /// interrupt the engine's cancellation hooks.
    pub(crate) fn first_termination(&self) -> bool {
        !self.terminated.swap(true, Ordering::AcqRel)
    }

    /// Whether it was terminated without a supervisor.
    pub(crate) fn was_terminated(&self) -> bool {
        self.terminated.load(Ordering::Acquire)
    }

    pub(crate) fn note_forced(&self) {
        self.forced.store(true, Ordering::Release);
    }

    /// How it was killed, whoever of several did so.
    pub(crate) fn killed(&self) -> Killed {
        if self.forced.load(Ordering::Acquire) { Killed::Forcibly } else { Killed::Gracefully }
    }

    /// What happens to it from now on, and its end, past or to come.
    pub(crate) fn events(self: Arc<Self>) -> EventStream {
        // One stream and no chain of several: each of thousands of live runs has one.
        let next = |(run, is_begun): (Option<Arc<Self>>, bool)| async move {
            let run = run?;
            let event = if is_begun { run.next_event().await } else { InfraEvent::Started };
            let goes_on = (!matches!(event, InfraEvent::Exited(_))).then_some(run);
            Some((Ok(event), (goes_on, true)))
        };
        stream::unfold((Some(self), false), next).boxed()
    }

    /// The next piece of output, and the end once there is no more. Cancel safe.
    async fn next_event(&self) -> InfraEvent {
        let ended = async {
            self.end.wait().await;
        };
        let piece = match &self.output {
            Some(tail) => tail.lock().await.next(|| self.end.initialized(), ended).await,
            None => None,
        };
        match piece {
            Some(Piece { stream, text }) => InfraEvent::Output { stream, text },
            None => InfraEvent::Exited(self.ended().await),
        }
    }
}

//! A run that this worker has in hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::{StreamExt as _, stream};
use infra_contract::{EventStream, InfraEvent, Killed};
use tokio::sync::mpsc::Receiver;
use tokio::sync::{Mutex, watch};
use worker_core::exit::{Exit, ExitReport};
use worker_core::handle::Handle;

use crate::control::Session;
use crate::output::Piece;
use crate::process::Process;
use crate::tree::Tree;

/// A run whose process was started or found by this worker. Its end is written by its shepherd and read by everybody.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) handle: Handle,
    pub(crate) process: Process,
    pub(crate) tree: Arc<Tree>,
    /// Absent for a run that an earlier worker started.
    pub(crate) session: Option<Arc<Session>>,
    /// Every piece goes to one of the watchers.
    output: Mutex<Receiver<Piece>>,
    progress: watch::Sender<Progress>,
    stopping: AtomicBool,
    terminated: AtomicBool,
    forced: AtomicBool,
}

#[derive(Debug)]
enum Progress {
    Running,
    /// The command has ended; what it left behind is being seen to.
    ProcessEnded,
    Ended(ExitReport),
}

impl Run {
    pub(crate) fn new(
        handle: Handle,
        process: Process,
        session: Option<Arc<Session>>,
        output: Receiver<Piece>,
    ) -> Arc<Self> {
        let tree = Tree::of(process.identity(), handle.key);
        Arc::new(Self {
            handle,
            process,
            tree,
            session,
            output: Mutex::new(output),
            progress: watch::Sender::new(Progress::Running),
            stopping: AtomicBool::new(false),
            terminated: AtomicBool::new(false),
            forced: AtomicBool::new(false),
        })
    }

    /// How it ended, if it has.
    pub(crate) fn end(&self) -> Option<ExitReport> {
        match &*self.progress.borrow() {
            Progress::Ended(report) => Some(report.clone()),
            Progress::Running | Progress::ProcessEnded => None,
        }
    }

    /// Waits until the command has ended, whatever it left behind. Cancel safe.
    pub(crate) async fn process_ended(&self) {
        let mut progress = self.progress.subscribe();
        // The sender is ours and cannot be gone.
        drop(progress.wait_for(|progress| !matches!(progress, Progress::Running)).await);
    }

    /// Waits for the end. Cancel safe.
    pub(crate) async fn ended(&self) -> ExitReport {
        let mut progress = self.progress.subscribe();
        drop(progress.wait_for(|progress| matches!(progress, Progress::Ended(_))).await);
        self.end().unwrap_or(ExitReport::bare(Exit::Vanished))
    }

    pub(crate) fn note_process_ended(&self) {
        self.progress.send_replace(Progress::ProcessEnded);
    }

    pub(crate) fn note_ended(&self, report: ExitReport) {
        self.progress.send_replace(Progress::Ended(report));
    }

    /// For whoever still watches a run that is forgotten before its end.
    pub(crate) fn note_forgotten(&self) {
        if self.end().is_none() {
            self.note_ended(ExitReport::bare(Exit::Vanished));
        }
    }

    /// From now on nothing may be left once the command has ended.
    pub(crate) fn note_stopping(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Whether this is the first termination. A second signal would interrupt the engine's cancellation hooks.
    pub(crate) fn first_termination(&self) -> bool {
        !self.terminated.swap(true, Ordering::AcqRel)
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
        let started = stream::iter([InfraEvent::Started]);
        let following = stream::unfold(Some(self), |run| async {
            let run = run?;
            let event = run.next_event().await;
            let goes_on = (!matches!(event, InfraEvent::Exited(_))).then_some(run);
            Some((event, goes_on))
        });
        started.chain(following).map(Ok).boxed()
    }

    /// The next piece of output, and the end once there is no more. Cancel safe.
    async fn next_event(&self) -> InfraEvent {
        let piece = self.output.lock().await.recv().await;
        match piece {
            Some(Piece { stream, text }) => InfraEvent::Output { stream, text },
            None => InfraEvent::Exited(self.ended().await),
        }
    }
}

//! The one task of each run: it relays the output, waits for the end and sees to what is left behind.

use std::collections::BTreeMap;
use std::future::Future;
use std::os::unix::process::ExitStatusExt as _;
use std::pin::{Pin, pin};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::{Fuse, FusedFuture as _, OptionFuture, join};
use infra_contract::LogStream;
use tokio::process::Child;
use tokio::sync::mpsc::Sender;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use worker_core::exit::{Exit, ExitReport};

use crate::control::Invitation;
use crate::exit_detail;
use crate::output::{DRAIN, Piece, Relay};
use crate::run::Run;
use crate::stderr_tail::StderrTail;

/// What a shepherd needs of a child that it tends.
pub(crate) struct Flock {
    pub(crate) child: Child,
    /// Towards the watchers, if the run's output is wanted.
    pub(crate) pieces: Option<Sender<Piece>>,
    /// Kept as long as the child may connect.
    pub(crate) invitation: Option<Invitation>,
    pub(crate) interpreter: Option<String>,
    pub(crate) environment: BTreeMap<String, String>,
}

/// Tends a child of this worker until its end is known and its output relayed.
pub(crate) async fn tend_child(run: Arc<Run>, mut flock: Flock) {
    let child_ended = CancellationToken::new();
    let tail = Arc::new(Mutex::new(StderrTail::default()));
    let pieces = flock.pieces.take();
    let stdout =
        Relay { stream: LogStream::Stdout, pieces: pieces.clone(), tail: None, child_ended: child_ended.clone() };
    let stderr =
        Relay { stream: LogStream::Stderr, pieces, tail: Some(Arc::clone(&tail)), child_ended: child_ended.clone() };
    // A stream that is not read gives up its sender here: the last one gone tells the watchers that all has come.
    let stdout = OptionFuture::from(flock.child.stdout.take().map(|from| stdout.run(from)));
    let stderr = OptionFuture::from(flock.child.stderr.take().map(|from| stderr.run(from)));
    let mut relaying = pin!(join(stdout, stderr).map(|_| ()).fuse());

    let exit = beside(relaying.as_mut(), end_of_child(&run, &mut flock.child)).await;
    child_ended.cancel();
    let last_words = async {
        if let Some(session) = &run.session {
            session.finished().await;
        }
    };
    let drained = async {
        beside(relaying.as_mut(), last_words).await;
        finish(relaying.as_mut()).await;
    };
    // Past the drain time the end is told without what is still being relayed.
    let _in_time = timeout(DRAIN, drained).await;
    drop(flock.invitation);
    let stderr = tail.lock().unwrap_or_else(PoisonError::into_inner).text();
    run.note_ended(ExitReport {
        exit,
        concluded: run.session.as_ref().and_then(|session| session.concluded()),
        detail: exit_detail::of(exit, &stderr, flock.interpreter.as_deref(), &flock.environment),
    });
    finish(relaying).await;
}

/// Tends a process that an earlier worker started: its end can be seen, but not how it ended.
pub(crate) async fn tend_stranger(run: Arc<Run>) {
    run.process.ended().await;
    run.tree.leader_is_reaped();
    run.note_process_ended();
    if run.is_stopping() {
        run.tree.sweep().await;
    }
    let detail = "its exit code is unknown: it was started by an earlier worker process".to_owned();
    run.note_ended(ExitReport { detail: Some(detail), ..ExitReport::bare(Exit::Vanished) });
}

/// Waits for the child's end, and if it was stopped, for the end of all that it started.
async fn end_of_child(run: &Run, child: &mut Child) -> Exit {
    if run.process.tells_its_end() {
        run.process.ended().await;
        run.note_process_ended();
        // Before it is waited for: as a zombie it keeps its number, by which its process group is told.
        if run.is_stopping() {
            run.tree.sweep().await;
        }
    }
    let status = child.wait().await;
    run.tree.leader_is_reaped();
    run.note_process_ended();
    status.map_or(Exit::Vanished, exit_of)
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Vanished,
    }
}

/// Does `work` while the output is relayed.
async fn beside<T>(mut relaying: Pin<&mut Fuse<impl Future<Output = ()>>>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = relaying.as_mut(), if !relaying.is_terminated() => {}
        }
    }
}

async fn finish(relaying: Pin<&mut Fuse<impl Future<Output = ()>>>) {
    if !relaying.is_terminated() {
        relaying.await;
    }
}

//! The supervisor of a run, as the worker sees it.

use std::time::Duration;

use camino::Utf8PathBuf;
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;
use worker_core::exit::ExitReport;

use crate::cgroup::Cgroup;
use crate::changes::FolderChanges;
use crate::error::ProcessError;
use crate::folder::RunFolder;
use crate::orders::{Hooks, HooksAnswer, Order};
use crate::process::Process;
use crate::procfs::Identity;

/// How long a supervisor may take to answer. It does nothing that takes time; only a stopped one does not answer.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// How long hooks may take: a little longer than the supervisor lets them.
const HOOKS_LIMIT: Duration = Duration::from_secs(130);

/// How long one that was told to leave may take: it sweeps first.
const LEAVE_LIMIT: Duration = Duration::from_secs(8);

/// A supervisor and the folder through which it is spoken with.
#[derive(Debug)]
pub(crate) struct Supervision {
    folder: RunFolder,
    process: Process,
    /// That of the run, if one was to be made.
    cgroup: Option<Utf8PathBuf>,
    /// Kept as long as somebody may want to hear.
    _changes: FolderChanges,
}

impl Supervision {
    pub(crate) const fn of(
        folder: RunFolder,
        supervisor: Identity,
        cgroup: Option<Utf8PathBuf>,
        changes: FolderChanges,
    ) -> Self {
        Self { folder, process: Process::of_identity(supervisor), cgroup, _changes: changes }
    }

    /// The cgroup of the run, if there is one.
    pub(crate) fn cgroup(&self) -> Option<Cgroup> {
        Cgroup::existing(self.cgroup.as_deref()?)
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.process.identity().is_alive()
    }

    /// Waits until there is none any more. Cancel safe.
    pub(crate) async fn ended(&self) {
        self.process.ended().await;
    }

    /// How the run ended, if that is written.
    pub(crate) fn exit(&self) -> Option<ExitReport> {
        let unreadable = |error: &std::io::Error| {
            tracing::warn!(%error, folder = %self.folder.path(), "how a run ended cannot be read");
        };
        let exit = self.folder.written().and_then(|written| written.map_or(Ok(None), |written| written.words.exit()));
        exit.inspect_err(unreadable).ok().flatten()
    }

    /// Gives an order and returns its answer; `None` from one that is gone or does not answer.
    ///
    /// # Cancel safety
    /// Cancel safe; the order may have been given. Each can be given again.
    pub(crate) async fn order<T: DeserializeOwned>(&self, order: Order, limit: Duration) -> Option<T> {
        if !self.is_alive() {
            return None;
        }
        let answer = timeout(limit, self.ask(order)).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        answer.inspect_err(|error| tracing::debug!(%error, ?order, "a supervisor did not answer")).ok()
    }

    async fn ask<T: DeserializeOwned>(&self, order: Order) -> std::io::Result<T> {
        let (_directory, path) = self.folder.control()?;
        let mut stream = UnixStream::connect(path.as_std_path()).await?;
        let line = serde_json::to_string(&order)?;
        stream.write_all(format!("{line}\n").as_bytes()).await?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).await?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// Has hooks run, and waits until they have ended.
    pub(crate) async fn run_hooks(&self, hooks: Hooks) -> Result<(), ProcessError> {
        if !self.is_alive() {
            return Err(ProcessError::NoEnvironmentForHooks);
        }
        match self.order(Order::RunHooks(hooks), HOOKS_LIMIT).await {
            Some(HooksAnswer::Ran) => Ok(()),
            Some(HooksAnswer::TooEarly) => Err(ProcessError::HooksOfRunningRun),
            Some(HooksAnswer::Unsupported) => Err(ProcessError::HooksOfOtherCommand),
            Some(HooksAnswer::Failed(how)) => Err(ProcessError::HooksFailed { hooks, how }),
            None => Err(ProcessError::HooksFailed { hooks, how: "the run's supervisor does not say how".to_owned() }),
        }
    }

    /// Tells it to kill what is left and to leave, and sees to it that it goes. Whether it did the first.
    pub(crate) async fn dismiss(&self) -> Result<bool, ProcessError> {
        let told: Option<String> = self.order(Order::Leave, ANSWER_LIMIT).await;
        if told.is_some() && timeout(LEAVE_LIMIT, self.ended()).await.is_ok() {
            return Ok(true);
        }
        self.end().await?;
        Ok(false)
    }

    /// Ends a supervisor that does not answer.
    pub(crate) async fn end(&self) -> Result<(), ProcessError> {
        self.process.signal(Signal::KILL)?;
        match timeout(ANSWER_LIMIT, self.ended()).await {
            Ok(()) => Ok(()),
            Err(_) => Err(ProcessError::DoesNotEnd { pid: self.process.identity().pid }),
        }
    }
}

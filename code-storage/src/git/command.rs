//! Running `git` within a time limit.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use camino::Utf8Path;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::failure::Failure;
use super::output::{DRAIN, Tail};
use crate::PullOptions;

/// How long an interrupted `git` may take to remove its lock files before it is killed.
const INTERRUPT_GRACE: Duration = Duration::from_secs(2);

/// Options of every command. No hook runs: one installed by a template of the host would be code nobody asked for. No
/// housekeeping starts: it would go on in the background, in a directory that is about to be renamed.
const CONFIGURATION: &[&str] = &["core.hooksPath=/dev/null", "gc.auto=0", "maintenance.auto=false"];

/// Variables that would make `git` work on another repository than the one of its directory.
const MISLEADING: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// Why a command gave no answer.
#[derive(Debug)]
pub(super) enum GitError {
    Start(io::Error),
    TimedOut,
    Cancelled,
    Failed(Failure),
}

/// The `git` program, for the duration of one fetch.
#[derive(Debug)]
pub(super) struct Git<'a> {
    pub(super) options: &'a PullOptions,
    pub(super) deadline: Instant,
    pub(super) cancel: &'a CancellationToken,
    /// Whether submodules may be on this machine: only if the repository itself is, or one from the network could name
    /// any repository of the worker's host as its submodule.
    pub(super) local_submodules: bool,
}

impl Git<'_> {
    /// Runs a command in a directory, and gives what it wrote to its standard output.
    pub(super) async fn run(&self, directory: &Utf8Path, arguments: &[&str]) -> Result<String, GitError> {
        debug!(%directory, ?arguments, "running git");
        let mut child = self.command(directory, arguments).spawn().map_err(GitError::Start)?;
        let group = ProcessGroup::of(&child);
        let (mut stdout, mut stderr) = (Tail::default(), Tail::default());
        // A cancelled pull ends even if git has just succeeded: its caller has turned away.
        let ended = tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(GitError::Cancelled),
            () = sleep_until(self.deadline) => Err(GitError::TimedOut),
            status = follow(&mut child, &mut stdout, &mut stderr) => status.map_err(GitError::Start),
        };
        if ended.is_err() {
            group.signal(Signal::TERM);
            if timeout(INTERRUPT_GRACE, child.wait()).await.is_err() {
                debug!("git did not end when interrupted");
            }
        }
        let status = ended?;
        group.disarm();
        if status.success() {
            Ok(stdout.text())
        } else {
            Err(GitError::Failed(Failure::read(&stderr.text(), &status.to_string())))
        }
    }

    /// Runs a command that answers "no" by failing.
    pub(super) async fn ask(&self, directory: &Utf8Path, arguments: &[&str]) -> Result<Option<String>, GitError> {
        match self.run(directory, arguments).await {
            Ok(answer) => Ok(Some(answer)),
            Err(GitError::Failed(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn command(&self, directory: &Utf8Path, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        for entry in CONFIGURATION {
            command.args(["-c", entry]);
        }
        if self.local_submodules {
            command.args(["-c", "protocol.file.allow=always"]);
        }
        command.args(arguments).current_dir(directory).envs(&self.options.env);
        for variable in MISLEADING {
            command.env_remove(variable);
        }
        // A damaged clone must not make git look for a repository further up and change that one.
        let ceiling = directory.parent().unwrap_or(directory);
        command
            .env("GIT_CEILING_DIRECTORIES", ceiling)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C")
            .env_remove("LANGUAGE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

/// Waits for the program and reads its output meanwhile, and little longer.
async fn follow(child: &mut Child, stdout: &mut Tail, stderr: &mut Tail) -> io::Result<ExitStatus> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let reading = async { tokio::join!(stdout.read(out), stderr.read(err)) };
    tokio::pin!(reading);
    tokio::select! {
        _ = &mut reading => child.wait().await,
        status = child.wait() => {
            if timeout(DRAIN, reading).await.is_err() {
                debug!("a program that git left behind holds its output open");
            }
            status
        }
    }
}

/// A program and the programs it started, such as `git-remote-https`; killed on drop.
#[derive(Debug)]
struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0
            && let Err(error) = kill_process_group(group, signal)
        {
            debug!(%error, "git's process group is gone");
        }
    }

    /// The program has ended by itself: its number may soon be another's.
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

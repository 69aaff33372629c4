//! Running `git` within a time limit.

use std::fs::File;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use camino::Utf8Path;
use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Login;
use super::failure::Failure;
use super::output::{DRAIN, Tail};
use super::signature::Keys;
use crate::PullOptions;
use crate::cache::{FileLock, Patience};
use crate::oom_score;
use crate::process_group::ProcessGroup;

/// How long an interrupted `git` may take to remove its lock files before it is killed.
const INTERRUPT_GRACE: Duration = Duration::from_secs(2);

/// Options of every command. No hook runs: one installed by a template of the host would be code nobody asked for. No
/// housekeeping starts: it would go on in the background, in a directory that is about to be renamed.
/// No watcher of files runs either: an old clone's configuration, which a flow may have written, could name any program.
/// A connection that has gone silent is given up after a minute: everybody who wants the repository waits for it.
const CONFIGURATION: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=60",
];

/// The variables that a login is handed to git in: in its arguments or in a file others could read it.
const USERNAME: &str = "CODE_STORAGE_GIT_USERNAME";
const SECRET: &str = "CODE_STORAGE_GIT_SECRET";

/// A credential helper in the words of the shell. It is asked for the login's own site only, so a redirect or a submodule
/// that leads elsewhere gets nothing. `printf` is a part of the shell: nothing is in an argument here either.
const HELPER: &str = concat!(
    "!f() { test \"$1\" = get && ",
    "printf 'username=%s\\npassword=%s\\n' \"$CODE_STORAGE_GIT_USERNAME\" \"$CODE_STORAGE_GIT_SECRET\"; }; f"
);

/// Never asks, and never takes a host's key on trust.
const SSH: &str = "core.sshCommand=ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=30 \
                   -o ServerAliveInterval=15 -o ServerAliveCountMax=4";

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
#[derive(Clone, Copy, Debug)]
pub(super) struct Git<'a> {
    pub(super) options: &'a PullOptions,
    pub(super) deadline: Instant,
    pub(super) cancel: &'a CancellationToken,
    /// Whether submodules may be on this machine: only if the repository itself is, or one from the network could name
    /// any repository of the worker's host as its submodule.
    pub(super) local_submodules: bool,
    /// What to log in with, at its own site.
    pub(super) login: Option<&'a Login>,
    /// Whether `ssh` is told not to ask: not if the operator has given a command of their own.
    pub(super) quiet_ssh: bool,
    /// Whether files in Git LFS are left as pointers, whatever the machine's configuration says.
    pub(super) skip_lfs: bool,
    /// What the command holds for as long as it runs, as its standard input, which is empty: if this process is killed, `git`
    /// lives on, and nobody else may meddle.
    pub(super) holding: Option<&'a FileLock>,
    /// The index to use in the place of the clone's own.
    pub(super) index: Option<&'a Utf8Path>,
    /// The keys to verify signatures with. Nothing of the run's environment counts then.
    pub(super) keys: Option<&'a Keys<'a>>,
}

impl<'a> Git<'a> {
    /// For commands that need no server.
    pub(super) fn without_login(&self) -> Self {
        Self { login: None, quiet_ssh: false, ..*self }
    }

    /// For commands that verify signatures.
    pub(super) fn verifying<'b>(&self, keys: &'b Keys<'b>) -> Git<'b>
    where
        'a: 'b,
    {
        Git { keys: Some(keys), holding: None, ..self.without_login() }
    }

    /// For a check-out that leaves large files for later.
    pub(super) fn skipping_lfs(&self) -> Self {
        Self { skip_lfs: true, ..*self }
    }

    /// For commands that change what the lock is for.
    pub(super) fn holding<'b>(&self, lock: &'b FileLock) -> Git<'b>
    where
        'a: 'b,
    {
        Git { holding: Some(lock), ..*self }
    }

    pub(super) fn patience(&self) -> Patience<'a> {
        Patience { deadline: self.deadline, cancel: self.cancel }
    }

    /// Waits for something else than a program, no longer than for one.
    pub(super) async fn in_time<T>(&self, waiting: impl Future<Output = T>) -> Result<T, GitError> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(GitError::Cancelled),
            () = sleep_until(self.deadline) => Err(GitError::TimedOut),
            done = waiting => Ok(done),
        }
    }

    /// Runs a command in a directory, and gives what it wrote to its standard output.
    pub(super) async fn run(&self, directory: &Utf8Path, arguments: &[&str]) -> Result<String, GitError> {
        let input = match self.holding {
            Some(lock) => Stdio::from(lock.lend().map_err(GitError::Start)?),
            None => Stdio::null(),
        };
        self.run_with(directory, arguments, input).await
    }

    /// Runs a command with a file as its standard input.
    pub(super) async fn run_reading(
        &self,
        directory: &Utf8Path,
        arguments: &[&str],
        input: File,
    ) -> Result<String, GitError> {
        self.run_with(directory, arguments, Stdio::from(input)).await
    }

    async fn run_with(&self, directory: &Utf8Path, arguments: &[&str], input: Stdio) -> Result<String, GitError> {
        debug!(%directory, ?arguments, "running git");
        let mut child = self.command(directory, arguments).stdin(input).spawn().map_err(GitError::Start)?;
        oom_score::unprotect(&child);
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
            let said = stderr.text();
            let said = self.login.map_or_else(|| said.clone(), |login| login.mask(&said));
            Err(GitError::Failed(Failure::read(&said, &status.to_string())))
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
        match self.keys {
            None => drop(command.envs(&self.options.env)),
            Some(keys) => keys.configure(&mut command),
        }
        if self.skip_lfs {
            command.env("GIT_LFS_SKIP_SMUDGE", "1");
        }
        if self.quiet_ssh {
            command.args(["-c", SSH]);
        }
        for variable in MISLEADING {
            command.env_remove(variable);
        }
        if let Some(login) = self.login
            && let Some(site) = login.site()
        {
            // First the empty helper: those of the machine would be told the login, and might write it down.
            command.arg("-c").arg(format!("credential.{site}.helper="));
            command.arg("-c").arg(format!("credential.{site}.helper={HELPER}"));
            command.env(USERNAME, login.username()).env(SECRET, login.secret());
            // A trace of the run's own shows headers, and masks the login in them unless told otherwise.
            command.env_remove("GIT_TRACE_REDACT");
        }
        if let Some(index) = self.index {
            command.env("GIT_INDEX_FILE", index);
        }
        command.args(arguments).current_dir(directory);
        // A damaged clone must not make git look for a repository further up and change that one.
        let ceiling = directory.parent().unwrap_or(directory);
        command
            .env("GIT_CEILING_DIRECTORIES", ceiling)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C")
            .env_remove("LANGUAGE")
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

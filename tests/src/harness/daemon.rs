//! The built worker as a process under test.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::output::Output;
use super::wait::SOON;
use super::{binary, processes};

/// How a daemon is to be started.
#[derive(Clone, Debug)]
pub struct DaemonSpec {
    args: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    patience: Duration,
}

impl DaemonSpec {
    /// `worker start`, talking to `api_url`, with intervals short enough for a test.
    pub fn start(api_url: &str) -> Self {
        Self::bare()
            .arg("start")
            .env("PREFECT_API_URL", api_url)
            .env("WORKER_LOG_FORMAT", "human")
            .env("PREFECT_WORKER_QUERY_SECONDS", "0.25")
            .env("PREFECT_WORKER_HEARTBEAT_SECONDS", "1")
            .env("PREFECT_LOGGING_TO_API_BATCH_INTERVAL", "0.1")
            .env("WORKER_CANCELLATION_POLL_SECONDS", "0.5")
            .env("WORKER_PROCESS_KILL_GRACE_SECONDS", "2")
            .env("WORKER_SHUTDOWN_GRACE_SECONDS", "2")
    }

    /// The program without arguments, in an environment with nothing but `PATH`.
    pub fn bare() -> Self {
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
        Self { args: Vec::new(), env: BTreeMap::from([("PATH".into(), path)]), patience: SOON }
    }

    /// Bound for its start, which waits for the API.
    #[must_use]
    pub(super) const fn patient(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Another command in the same surroundings.
    #[must_use]
    pub fn instead<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.clear();
        self.args(args)
    }

    /// `--pool`.
    #[must_use]
    pub fn pool(self, pool: &str) -> Self {
        self.args(["--pool", pool])
    }

    /// `--name`.
    #[must_use]
    pub fn name(self, name: &str) -> Self {
        self.args(["--name", name])
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.insert(name.into(), value.as_ref().to_owned());
        self
    }

    /// Removes a variable from its environment.
    #[must_use]
    pub fn without_env(mut self, name: &str) -> Self {
        self.env.remove(OsStr::new(name));
        self
    }

    /// Serves health and metrics at a port that the system chooses; [`Monitor::of`](super::Monitor::of) finds it.
    #[must_use]
    pub fn monitored(self) -> Self {
        self.env("WORKER_MONITORING_LISTEN", "127.0.0.1:0")
    }

    /// Runs flows with the locked Python environment.
    #[must_use]
    pub fn with_python(self) -> Self {
        self.env("WORKER_PROCESS_PYTHON", binary::python_program("python"))
    }

    /// Starts it in a home of its own.
    pub fn spawn(self) -> Daemon {
        let home = tempfile::Builder::new().prefix("worker-under-test-").tempdir().expect("a temporary directory");
        self.spawn_in(home)
    }

    /// Starts it in the home of an earlier daemon.
    pub fn spawn_in(self, home: TempDir) -> Daemon {
        let at = |name: &str| {
            let path = home.path().join(name);
            fs_err::create_dir_all(&path).expect("the harness writes into its own directory");
            path
        };
        let mut command = Command::new(binary::worker_binary());
        command
            .args(&self.args)
            .env_clear()
            .env("HOME", home.path())
            .env("PREFECT_HOME", at("prefect"))
            .env("WORKER_STATE_DIR", at("state"))
            .env("TMPDIR", at("tmp"))
            .envs(&self.env)
            .env(MARK, home.path())
            .current_dir(at("cwd"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the built worker can be started");
        let stdout = child.stdout.take().expect("standard output is a pipe");
        let stderr = child.stderr.take().expect("standard error is a pipe");
        let pid = child.id().expect("a process that was just started has an id");
        Daemon {
            pid,
            child,
            stdout: Output::follow("standard output", stdout, home.path().join("stdout.log")),
            stderr: Output::follow("standard error", stderr, home.path().join("stderr.log")),
            home: Some(home),
        }
    }

    /// Starts it and waits until it says that it has started.
    pub async fn started(self) -> Daemon {
        let patience = self.patience;
        let daemon = self.spawn();
        daemon.stdout.wait_for(" started!", patience).await;
        daemon
    }

    /// Runs it to its end.
    pub async fn finish(self) -> Finished {
        let mut daemon = self.spawn();
        let status = daemon.exited(SOON).await;
        Finished { status, stdout: daemon.stdout.lines().join("\n"), stderr: daemon.stderr.lines().join("\n") }
    }
}

/// How a daemon ended that was run to its end.
#[derive(Clone, Debug)]
pub struct Finished {
    /// How it exited.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

/// The variable that marks a daemon and all that comes of it.
const MARK: &str = "PREFECT_WORKER_UNDER_TEST_HOME";

/// Kills all that came of the daemons of a home.
pub(crate) fn kill_offspring_of(home: &Path) {
    processes::kill_with_environment(&mark_of(home));
}

fn mark_of(home: &Path) -> String {
    format!("{MARK}={}", home.display())
}

/// Whatever was started with the mark of a home, and what came of that. It is killed when this is dropped.
#[derive(Debug)]
pub struct Offspring(PathBuf);

impl Offspring {
    /// Of a home.
    pub fn of(home: &Path) -> Self {
        Self(home.to_owned())
    }

    /// The variable that has to be in the environment of what is started.
    pub fn mark(&self) -> (OsString, OsString) {
        (MARK.into(), self.0.clone().into_os_string())
    }
}

impl Drop for Offspring {
    fn drop(&mut self) {
        kill_offspring_of(&self.0);
    }
}

/// A running daemon. When it is dropped, it and everything it started is killed.
#[derive(Debug)]
pub struct Daemon {
    /// Its process id.
    pub pid: u32,
    /// What it prints.
    pub stdout: Output,
    /// What it logs.
    pub stderr: Output,
    child: Child,
    home: Option<TempDir>,
}

impl Daemon {
    /// Its home directory, which holds everything it writes.
    pub fn home(&self) -> &Path {
        self.home.as_ref().expect("a daemon has its home until it is dropped").path()
    }

    /// A path in its home.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home().join(name)
    }

    /// Its resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        processes::resident_kib(self.pid)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.as_pid(), signal).expect("the daemon is this test's own process");
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.status().is_none()
    }

    /// How it exited, once it has.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the daemon is this test's own process")
    }

    /// Waits until it has exited and all of its output was read.
    pub async fn exited(&mut self, bound: Duration) -> ExitStatus {
        let Some(status) = self.exited_within(bound).await else {
            panic!(
                "the daemon did not exit within {} s:
{}",
                bound.as_secs(),
                self.stderr.tail()
            );
        };
        status
    }

    /// The same; `None` if it has not exited by then.
    pub async fn exited_within(&mut self, bound: Duration) -> Option<ExitStatus> {
        let exit = async {
            let status = self.child.wait().await.expect("the daemon is this test's own process");
            // What it left running may keep its pipes open.
            drop(tokio::time::timeout(Duration::from_secs(1), self.stdout.closed()).await);
            drop(tokio::time::timeout(Duration::from_secs(1), self.stderr.closed()).await);
            status
        };
        tokio::time::timeout(bound, exit).await.ok()
    }

    /// Asks it to stop, as a service manager does, and waits for its exit.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.exited(SOON).await
    }

    /// The processes that came of it, in whatever group or session, without itself.
    pub fn offspring(&self) -> Vec<i32> {
        let own = self.as_pid();
        let marked = processes::with_environment(&self.mark());
        marked.into_iter().filter(|pid| *pid != own).map(Pid::as_raw_pid).collect()
    }

    /// Kills it without a chance to clean up, and hands over its home; what it started goes on.
    pub async fn kill(mut self) -> TempDir {
        if self.is_running() {
            self.signal(Signal::KILL);
        }
        self.exited(SOON).await;
        self.home.take().expect("a daemon has its home until it is dropped")
    }

    fn mark(&self) -> String {
        mark_of(self.home())
    }

    fn as_pid(&self) -> Pid {
        i32::try_from(self.pid).ok().and_then(Pid::from_raw).expect("a process id is a small positive number")
    }
}

impl Drop for Daemon {
    #[expect(clippy::print_stderr, reason = "a failed test shows what the daemon said")]
    fn drop(&mut self) {
        if self.home.is_none() {
            return;
        }
        if std::thread::panicking() {
            eprintln!("--- standard output of the daemon\n{}", self.stdout.tail());
            eprintln!("--- standard error of the daemon\n{}", self.stderr.tail());
        }
        processes::kill_with_environment(&self.mark());
    }
}

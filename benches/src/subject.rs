//! The programs that are measured.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use clap::ValueEnum as _;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use worker_tests::harness::{kill_with_environment, python_program, worker_binary, workspace_root};

use crate::bare_loop::Part;
use crate::figures::Column;
use crate::usage::Usage;

/// Where they are.
pub(crate) struct Programs {
    worker: PathBuf,
    prefect: Option<PathBuf>,
    settings: Vec<(String, String)>,
}

impl Programs {
    /// Finds them; Prefect's worker is left out where the locked Python environment is not installed.
    pub(crate) fn find(worker: Option<PathBuf>, alone: bool, settings: Vec<(String, String)>) -> Self {
        let is_installed = workspace_root().join(".tools/python/bin/prefect").is_file();
        let prefect = (!alone && is_installed).then(|| python_program("prefect"));
        Self { worker: worker.unwrap_or_else(worker_binary), prefect, settings }
    }

    /// This worker.
    pub(crate) fn worker(&self) -> &Path {
        &self.worker
    }

    /// Prefect's command line, if it is compared with.
    pub(crate) fn prefect(&self) -> Option<&Path> {
        self.prefect.as_deref()
    }

    /// The workers, each with its column.
    pub(crate) fn workers(&self) -> impl Iterator<Item = Column> {
        [Some(Column::Ours), self.prefect.is_some().then_some(Column::Prefect)].into_iter().flatten()
    }

    /// Starts a worker for a pool with nothing but defaults and what the command line of the suite sets.
    pub(crate) fn start(&self, column: Column, api_url: &str, pool: &str) -> Running {
        self.start_with(column, api_url, pool, &[])
    }

    /// The same with settings of this worker.
    pub(crate) fn start_with(&self, column: Column, api_url: &str, pool: &str, settings: &[(&str, &str)]) -> Running {
        let mut command = match (column, &self.prefect) {
            (Column::Prefect, Some(prefect)) => {
                let mut command = Command::new(prefect);
                command.arg("worker");
                command
            }
            _ => Command::new(&self.worker),
        };
        command.args(["start", "--pool", pool, "--name", "measured"]);
        let given = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Running::spawn(command, api_url, settings.iter().copied().chain(given))
    }

    /// Starts the bare loop.
    pub(crate) fn bare(api_url: &str, pool: &str, runs: usize, part: Part) -> Running {
        let mut command = Command::new(std::env::current_exe().expect("a running program has a path"));
        let part = part.to_possible_value().expect("no part is hidden");
        command.args([BARE, api_url, pool, &runs.to_string(), part.get_name()]);
        Running::spawn(command, api_url, std::iter::empty())
    }

    /// Whether this worker knows a setting.
    pub(crate) async fn knows(&self, setting: &str) -> bool {
        let shown = Command::new(&self.worker).args(["config", "show"]).stdin(Stdio::null()).output().await;
        shown.is_ok_and(|shown| String::from_utf8_lossy(&shown.stdout).contains(setting))
    }
}

/// The first argument that makes this program the bare loop.
pub(crate) const BARE: &str = "bare-loop";

/// A program that runs, in a home of its own. It and its runs are killed when this is dropped.
pub(crate) struct Running {
    child: Child,
    home: TempDir,
}

impl Running {
    fn spawn<'a>(mut command: Command, api_url: &str, settings: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let home = tempfile::Builder::new().prefix("measured-").tempdir().expect("a temporary directory");
        let log = std::fs::File::create(home.path().join("log")).expect("a file in a directory of our own");
        let errors = log.try_clone().expect("a file can be shared");
        let mut path = workspace_root().join(".tools/python/bin").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        command
            .env_clear()
            .env("PATH", path)
            .env("HOME", home.path())
            .env("PREFECT_HOME", home.path().join("prefect"))
            .env("PREFECT_API_URL", api_url)
            .env("WORKER_STATE_DIR", home.path().join("state"))
            .envs(settings)
            .current_dir(home.path())
            // The bare loop ends with its input.
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(errors)
            .kill_on_drop(true);
        let child = command.spawn().expect("the program to measure can be started");
        Self { child, home }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> Usage {
        Usage::of(self.pid())
    }

    /// The end of what it wrote, for the message that says what went wrong.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n")
    }

    /// Its folder, which its runs can write to.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Whether it ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Runs outlive a worker that is killed.
        drop(self.child.start_kill());
        kill_with_environment(&format!("PREFECT_HOME={}", self.home.path().join("prefect").display()));
    }
}

//! Running one program of a step.

use std::collections::BTreeMap;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use camino::Utf8Path;
use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::capture::Capture;
use crate::oom_score;
use crate::process_group::ProcessGroup;

/// How long an interrupted program may take to clean up before it is killed.
const INTERRUPT_GRACE: Duration = Duration::from_secs(2);

/// Why a program did not end by itself.
#[derive(Debug)]
pub(super) enum ProgramError {
    Directory(io::Error),
    Start(io::Error),
    TimedOut,
    Cancelled,
}

/// What the programs of a step have in common.
pub(super) struct Surroundings<'a> {
    pub(super) directory: &'a Utf8Path,
    /// All of it: nothing is inherited.
    pub(super) environment: &'a BTreeMap<String, String>,
    pub(super) deadline: Instant,
    pub(super) cancel: &'a CancellationToken,
}

impl Surroundings<'_> {
    /// Why the directory cannot be used, if it cannot: the system reports that as the absence of the program.
    async fn unusable_directory(&self) -> Option<io::Error> {
        match fs_err::tokio::metadata(self.directory).await {
            Ok(found) if found.is_dir() => None,
            Ok(_) => Some(io::ErrorKind::NotADirectory.into()),
            Err(error) => Some(error),
        }
    }

    /// Runs a program until it has ended and nobody holds its output open any more, which is as long as the SDK waits.
    pub(super) async fn run(
        &self,
        program: &str,
        arguments: &[String],
        stdout: &mut Capture<'_>,
        stderr: &mut Capture<'_>,
    ) -> Result<ExitStatus, ProgramError> {
        let mut child = match self.command(program, arguments).spawn() {
            Ok(child) => child,
            Err(error) => {
                let unusable = self.unusable_directory().await;
                return Err(unusable.map_or(ProgramError::Start(error), ProgramError::Directory));
            }
        };
        oom_score::unprotect(&child);
        let group = ProcessGroup::of(&child);
        let ended = tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(ProgramError::Cancelled),
            () = sleep_until(self.deadline) => Err(ProgramError::TimedOut),
            status = follow(&mut child, stdout, stderr) => status.map_err(ProgramError::Start),
        };
        if ended.is_err() {
            group.signal(Signal::TERM);
            if timeout(INTERRUPT_GRACE, child.wait()).await.is_err() {
                debug!("a step's program did not end when interrupted");
            }
        }
        let status = ended?;
        group.disarm();
        Ok(status)
    }

    fn command(&self, program: &str, arguments: &[String]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.directory)
            .env_clear()
            .envs(self.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

async fn follow(child: &mut Child, stdout: &mut Capture<'_>, stderr: &mut Capture<'_>) -> io::Result<ExitStatus> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    tokio::join!(stdout.read(out), stderr.read(err));
    child.wait().await
}

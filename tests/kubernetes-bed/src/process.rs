//! Processes that end with their value.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A process of this test. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Program(Child);

impl Program {
    /// Starts it, without input, with what it says at the end of a log.
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let stdout = File::options().create(true).append(true).open(log).expect("the folder of the log is ours");
        let stderr = stdout.try_clone().expect("there are file descriptors left");
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        Self(command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}")))
    }

    /// How it has ended, if it has.
    pub(crate) fn status(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("only this test waits for its child")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("the process was not waited for");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only for a child that has ended and was waited for.
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
}

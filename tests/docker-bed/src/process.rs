//! Processes and conditions, with a bound.

use std::fmt::Display;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Bound for one command of the client.
const COMMAND: Duration = Duration::from_mins(2);
/// Time between two looks at a condition that nothing announces.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Looks again and again until there is something to return; nothing when the bound is reached.
pub(crate) fn within<T>(bound: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + bound;
    loop {
        let found = look();
        if found.is_some() || Instant::now() >= deadline {
            return found;
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// The same for what has to come.
pub(crate) fn until<T>(bound: Duration, what: impl Display, look: impl FnMut() -> Option<T>) -> T {
    within(bound, look).unwrap_or_else(|| panic!("waited {} s in vain for {what}", bound.as_secs()))
}

/// Runs a command with this standard input to its end.
///
/// Files take what it says, not pipes: a process that it leaves behind could hold a pipe open.
pub(crate) fn run(mut command: Command, input: &str) -> Output {
    let mut stdin = scratch_file();
    stdin.write_all(input.as_bytes()).and_then(|()| stdin.rewind()).expect("a scratch file can be written");
    let (stdout, stderr) = (scratch_file(), scratch_file());
    let duplicate = |file: &File| file.try_clone().expect("there are file descriptors left");
    command.stdin(stdin).stdout(duplicate(&stdout)).stderr(duplicate(&stderr));
    let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let mut program = Program(child);
    let ended = within(COMMAND, || program.status());
    let output = (read_all(stdout), read_all(stderr));
    let status = ended.unwrap_or_else(|| panic!("{command:?} did not end within {} s: {output:?}", COMMAND.as_secs()));
    Output { status, stdout: output.0.into_bytes(), stderr: output.1.into_bytes() }
}

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

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        // It may have ended by itself.
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap_or_default();
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

fn scratch_file() -> File {
    tempfile::tempfile().expect("a temporary file")
}

fn read_all(mut file: File) -> String {
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("a scratch file can be read");
    String::from_utf8_lossy(&bytes).into_owned()
}

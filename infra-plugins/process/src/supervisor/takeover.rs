//! Making a process the run that was forked for it by a zygote, and waits.
//!
//! It is a child of this process: the zygote's fork that started it executed the supervisor's program then. It is reached through
//! what is the standard error of a supervisor otherwise.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use camino::Utf8Path;
use rustix::process::{Pid, Signal, getpid, kill_process};
use serde::Serialize;
use serde_json::Value;

use super::spec::LaunchSpec;
use crate::procfs::{self, Identity};
use crate::warm::frame;

/// The argument before the number of the process that waits.
const ADOPT: &str = "adopt-run";

/// How long it may take to say that it is the run now. It has little to do until then.
const LIMIT: Duration = Duration::from_secs(10);

/// A process that waits to be told what it is.
pub(super) struct Waiting {
    pid: Pid,
    channel: UnixStream,
}

/// What it is told. Holds secrets, and is never written down.
#[derive(Serialize)]
struct Told<'s> {
    words: Vec<&'s str>,
    environment: &'s BTreeMap<String, String>,
    working_dir: &'s Utf8Path,
    open_files: Option<u64>,
    python_path: &'s [String],
    python_path_before: &'s [String],
}

impl Waiting {
    /// The process that the arguments name, if they do and it is a child of this one.
    pub(super) fn of_arguments() -> Option<Self> {
        let mut arguments = std::env::args().skip_while(|argument| argument != ADOPT).skip(1);
        let number: i32 = arguments.next()?.parse().ok()?;
        let channel = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3).ok()?;
        // Nobody else that this process starts is to have it.
        let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null").ok()?;
        rustix::stdio::dup2_stderr(&null).ok()?;
        let is_ours = procfs::stat(number).is_some_and(|stat| stat.parent == getpid().as_raw_nonzero().get());
        is_ours.then_some(Self { pid: Pid::from_raw(number)?, channel: channel.into() })
    }

    pub(super) fn number(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Makes it the run. If that cannot be it is killed, has executed nothing of the run, and the command is to be started instead.
    pub(super) fn become_the_run(
        self,
        spec: &LaunchSpec,
        environment: &BTreeMap<String, String>,
        stdout: &File,
        stderr: &File,
    ) -> Option<Identity> {
        let identity = Identity::of(self.number());
        match self.tell(spec, environment, stdout, stderr) {
            Ok(()) => Some(identity),
            Err(error) => {
                tracing::debug!(%error, "a process that was forked for the run cannot become it");
                // It has not been waited for, so the number is its own.
                kill_process(self.pid, Signal::KILL).unwrap_or_default();
                None
            }
        }
    }

    fn tell(
        &self,
        spec: &LaunchSpec,
        environment: &BTreeMap<String, String>,
        stdout: &File,
        stderr: &File,
    ) -> io::Result<()> {
        let warm = spec.warm.as_ref().ok_or(io::ErrorKind::InvalidInput)?;
        let words = [spec.program.as_str()].into_iter().chain(spec.arguments.iter().map(String::as_str));
        let told = Told {
            words: words.collect(),
            environment,
            working_dir: &spec.working_dir,
            open_files: spec.open_files,
            python_path: &warm.python_path,
            python_path_before: &warm.python_path_before,
        };
        self.channel.set_read_timeout(Some(LIMIT))?;
        self.channel.set_write_timeout(Some(LIMIT))?;
        frame::send(&self.channel, &told, &[stdout.as_fd(), stderr.as_fd()])?;
        let answer: Value = frame::receive(&mut &self.channel)?;
        if answer.get("taken").is_some() { Ok(()) } else { Err(io::Error::other(answer.to_string())) }
    }
}

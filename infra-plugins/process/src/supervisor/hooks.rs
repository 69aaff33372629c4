//! Running hooks of a flow whose own process can no longer run them.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use infra_contract::LogStream;
use worker_core::exit::Exit;

use super::confined;
use super::ending::Phase;
use super::service::Service;
use super::start::open_output;
use crate::executable;
use crate::orders::{Hooks, HooksAnswer};

/// How long the hooks of a run may take altogether.
const HOOKS_LIMIT: Duration = Duration::from_mins(2);

/// Loads the flow as the engine does, and runs its hooks as the SDK's own runner does.
const PROGRAM: &str = include_str!("run_hooks.py");

/// Hooks under way, or how they ended.
#[derive(Debug)]
pub(super) struct RunningHooks {
    hooks: Hooks,
    pid: i32,
    deadline: Instant,
    is_overdue: bool,
    answer: Option<HooksAnswer>,
}

impl RunningHooks {
    pub(super) const fn are_under_way(&self) -> bool {
        self.answer.is_none()
    }

    /// When they are to be killed.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (self.are_under_way() && !self.is_overdue).then_some(self.deadline)
    }
}

impl Service {
    /// Runs hooks, once; `None` as long as hooks run.
    pub(super) fn run_hooks(&mut self, hooks: Hooks, now: Instant) -> Option<HooksAnswer> {
        if !matches!(self.phase, Phase::Ended) {
            return Some(HooksAnswer::TooEarly);
        }
        if self.spec.python.is_empty() {
            return Some(HooksAnswer::Unsupported);
        }
        if let Some(running) = &self.hooks {
            let answer = running.answer.clone()?;
            let is_meant = running.hooks == hooks;
            self.hooks = None;
            if is_meant {
                return Some(answer);
            }
        }
        match self.begin_hooks(hooks) {
            Ok(Some(pid)) => {
                // What outlasts being killed keeps the run's sweep going; hooks are none of what it is after.
                self.sweep.spare(pid);
                let deadline = now + HOOKS_LIMIT;
                self.hooks = Some(RunningHooks { hooks, pid, deadline, is_overdue: false, answer: None });
                None
            }
            Ok(None) => Some(HooksAnswer::Ran),
            Err(error) => Some(HooksAnswer::Failed(format!("they could not be started: {error}"))),
        }
    }

    /// Starts the Python that runs them, unless that was done before, whatever came of it.
    fn begin_hooks(&self, hooks: Hooks) -> io::Result<Option<i32>> {
        let [python, arguments @ ..] = self.spec.python.as_slice() else { return Ok(None) };
        let mark = self.folder.file(&format!("hooks-{hooks}"));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(mark) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            Err(error) => return Err(error),
            Ok(_) => self.folder.sync_names()?,
        }
        let stdout = if self.spec.streams_output {
            Stdio::from(open_output(&self.folder, LogStream::Stdout)?)
        } else {
            Stdio::null()
        };
        let path = self.spec.environment.get("PATH").map(String::as_str);
        let directory: &Utf8Path = &self.spec.working_dir;
        let python = executable::resolve(python, directory, path).map_err(io::Error::other)?;
        let of_hooks = ["-c".to_owned(), PROGRAM.to_owned(), hooks.to_string()];
        let arguments = [arguments, &of_hooks].concat();
        let child = confined::command(&self.spec, &self.limits, python.as_str(), &arguments)?
            .env_clear()
            .envs(&self.spec.environment)
            .current_dir(directory)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(open_output(&self.folder, LogStream::Stderr)?)
            .spawn()?;
        Ok(i32::try_from(child.id()).ok())
    }

    /// Nothing that hooks started outlives them.
    pub(super) fn note_end_of_hooks(&mut self, pid: i32, exit: Exit, now: Instant) {
        let Some(running) = self.hooks.as_mut().filter(|running| running.pid == pid && running.answer.is_none()) else {
            return;
        };
        running.answer = Some(match exit {
            _ if running.is_overdue => {
                HooksAnswer::Failed(format!("they had not ended after {} s and were killed", HOOKS_LIMIT.as_secs()))
            }
            Exit::Code(0) => HooksAnswer::Ran,
            Exit::Code(code) => {
                HooksAnswer::Failed(format!("they ended with exit code {code}; the run's log says why"))
            }
            Exit::Signal(_)
            | Exit::OutOfMemory
            | Exit::Evicted
            | Exit::NodeLost
            | Exit::NeverStarted
            | Exit::Vanished => HooksAnswer::Failed("their process was killed".to_owned()),
        });
        self.sweep.begin(now);
    }

    /// Kills hooks that take too long.
    pub(super) fn limit_hooks(&mut self, now: Instant) {
        if let Some(running) = &mut self.hooks
            && running.answer.is_none()
            && now >= running.deadline
            && !running.is_overdue
        {
            running.is_overdue = true;
            self.sweep.begin(now);
        }
    }
}

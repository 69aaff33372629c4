//! The process that supervisors are forked from: to execute and link a program for each run costs several times as much.
//!
//! It is the supervisor's program, asked to be this, and does nothing else: no thread, no runtime, nothing of any run. It ends with
//! its channel. What it has forked goes on, and is no child of this process: nobody here has to wait for it.

use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::process::Child;

use crate::pipes::Pipes;
use crate::settings::SupervisorProgram;
use crate::supervisor::FORK_SERVER;
use crate::warm::frame;

/// Started when it is needed first, and again when it has gone.
#[derive(Default)]
pub(crate) struct ForkServer(Mutex<Option<Running>>);

struct Running {
    /// Never waits: what it is asked for would wait too, and can be started without it.
    channel: UnixStream,
    child: Child,
}

impl fmt::Debug for ForkServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForkServer").finish_non_exhaustive()
    }
}

impl ForkServer {
    /// Has a supervisor forked. Nothing of the run has been started if this fails, nor if what the pipes lead to turns out to be gone.
    pub(crate) fn fork(&self, supervisor: &SupervisorProgram) -> io::Result<Pipes> {
        let mut running = self.running();
        let server = match running.take() {
            Some(server) => server,
            None => Running::start(supervisor)?,
        };
        let (pipes, spec, answer) = Pipes::new(server.child.id())?;
        // One that has gone refuses; one that is stopped has a full channel in the end.
        frame::send_descriptors(&server.channel, &[spec.as_fd(), answer.as_fd()])?;
        *running = Some(server);
        Ok(pipes)
    }

    /// Ends one whose fork never answered: it may be one that was stopped. Another that has taken its place is left.
    pub(crate) fn distrust(&self, server: Option<u32>) {
        if let Some(mut server) = self.running().take_if(|running| running.child.id() == server) {
            server.child.start_kill().unwrap_or_default();
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// In a process group of its own it does not end by the terminal's signal before the worker does.
    fn start(supervisor: &SupervisorProgram) -> io::Result<Self> {
        let (channel, its) = UnixStream::pair()?;
        channel.set_nonblocking(true)?;
        let mut command = supervisor.command(FORK_SERVER);
        let child = command.process_group(0).stdin(OwnedFd::from(its)).stdout(Stdio::null()).spawn()?;
        tracing::debug!(pid = child.id(), "supervisors are forked from here on");
        Ok(Self { channel, child })
    }
}

//! One process: waiting for its end and signalling it, never another that got its number.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use tokio::io::unix::AsyncFd;

use crate::error::ProcessError;
use crate::procfs::{Identity, stat};

/// How often a process is looked at where the kernel cannot tell its end.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// A process, held by a pidfd where the kernel has them. It is opened when it is first needed: most processes of a worker
/// with hundreds of runs are never waited for by it, and files are few.
#[derive(Debug)]
pub(crate) struct Process {
    identity: Identity,
    pidfd: OnceLock<Option<AsyncFd<OwnedFd>>>,
}

impl Process {
    /// A process that need not be a child, and may have ended.
    pub(crate) const fn of_identity(identity: Identity) -> Self {
        Self { identity, pidfd: OnceLock::new() }
    }

    fn pidfd(&self) -> Option<&AsyncFd<OwnedFd>> {
        // Checked after opening: what was opened is then the process that was meant.
        self.pidfd.get_or_init(|| open(self.identity).filter(|_| self.identity.is_alive())).as_ref()
    }

    pub(crate) const fn identity(&self) -> Identity {
        self.identity
    }

    /// Waits for the end, without collecting the exit status. Cancel safe.
    pub(crate) async fn ended(&self) {
        if let Some(pidfd) = self.pidfd()
            && pidfd.readable().await.is_ok()
        {
            return;
        }
        while self.identity.is_alive() {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Sends a signal. That it has ended already is no error.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), ProcessError> {
        let sent = match self.pidfd() {
            Some(pidfd) => pidfd_send_signal(pidfd, signal),
            None => signal_by_number(self.identity, signal),
        };
        match sent {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(ProcessError::Signal { pid: self.identity.pid, source: errno.into() }),
        }
    }
}

/// Kills a process that need not be a child, if it is still the one that is meant.
pub(crate) fn kill(identity: Identity) -> io::Result<()> {
    let Some(pid) = identity.raw() else { return Ok(()) };
    let pidfd = pidfd_open(pid, PidfdFlags::empty());
    if stat(identity.pid).map(|stat| stat.started) != identity.started {
        return Ok(());
    }
    let killed = match pidfd {
        Ok(pidfd) => pidfd_send_signal(pidfd, Signal::KILL),
        Err(Errno::SRCH) => return Ok(()),
        Err(_) => kill_process(pid, Signal::KILL),
    };
    match killed {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[expect(
    deprecated,
    reason = "it is deprecated for descriptors that may change; an OwnedFd does not, and the other way is unsafe"
)]
fn open(identity: Identity) -> Option<AsyncFd<OwnedFd>> {
    let pidfd = pidfd_open(identity.raw()?, PidfdFlags::empty()).ok()?;
    AsyncFd::new(pidfd).ok()
}

fn signal_by_number(identity: Identity, signal: Signal) -> Result<(), Errno> {
    match identity.raw() {
        Some(pid) if identity.is_alive() => kill_process(pid, signal),
        _ => Ok(()),
    }
}

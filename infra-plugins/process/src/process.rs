//! One process: waiting for its end and signalling it, never another that got its number.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use tokio::io::unix::AsyncFd;

use crate::error::ProcessError;
use crate::procfs::{Identity, stat};

/// How often a process is looked at where the kernel cannot tell its end.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// A process, held by a pidfd where the kernel has them.
#[derive(Debug)]
pub(crate) struct Process {
    identity: Identity,
    pidfd: Option<AsyncFd<OwnedFd>>,
}

impl Process {
    /// Takes hold of a child that has not been waited for, so that its number cannot have passed to another yet.
    pub(crate) fn of_child(pid: i32) -> Self {
        let identity = Identity::of(pid);
        Self { identity, pidfd: open(identity) }
    }

    /// Takes hold of a process that need not be a child; `None` if it has ended.
    pub(crate) fn of_identity(identity: Identity) -> Option<Self> {
        let pidfd = open(identity);
        // Checked after opening: what was opened is then the process that was meant.
        identity.is_alive().then_some(Self { identity, pidfd })
    }

    pub(crate) const fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether [`Process::ended`] can tell the end of a child, which stays a zombie until it is waited for.
    pub(crate) const fn tells_its_end(&self) -> bool {
        self.pidfd.is_some()
    }

    /// Waits for the end, without collecting the exit status. Cancel safe.
    pub(crate) async fn ended(&self) {
        if let Some(pidfd) = &self.pidfd
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
        let sent = match &self.pidfd {
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

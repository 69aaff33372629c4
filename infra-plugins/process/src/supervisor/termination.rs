//! What must not end a supervisor.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::process::{Signal, getpid, set_child_subreaper, setsid};
use signal_hook::{SigId, low_level};

/// Cuts the ties to the worker: the terminal's signals, and the loss of orphans to whoever reaps the worker's.
pub(super) fn leave_the_workers_session() {
    // Each fails only where it was done before, or where the kernel does not know it; runs go on without.
    if let Err(errno) = setsid() {
        tracing::debug!(%errno, "the supervisor leads a session already");
    }
    set_child_subreaper(Some(getpid())).unwrap_or_default();
}

/// Takes the signals with which a service manager or a terminal ends whole groups. They are handled, not ignored: what is
/// ignored is ignored by every child too.
///
/// What is returned can be read from whenever a child has ended.
pub(super) fn outlive_signals() -> io::Result<UnixStream> {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        signal_hook::flag::register(signal.as_raw(), Arc::new(AtomicBool::new(false)))?;
    }
    let (ended, on_end) = UnixStream::pair()?;
    ended.set_nonblocking(true)?;
    tell_of_children(on_end)?;
    Ok(ended)
}

/// Has a byte written whenever a child has ended.
pub(super) fn tell_of_children(on_end: UnixStream) -> io::Result<SigId> {
    on_end.set_nonblocking(true)?;
    low_level::pipe::register(Signal::CHILD.as_raw(), on_end)
}

/// Lets go of the pipes to the worker.
pub(super) fn close_standard_streams() {
    let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") else { return };
    rustix::stdio::dup2_stdin(&null).unwrap_or_default();
    rustix::stdio::dup2_stdout(&null).unwrap_or_default();
}

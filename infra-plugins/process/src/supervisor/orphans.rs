//! Waiting for children: the command, the hooks, and every orphan of the run, which all fall to the supervisor.

use std::io::Read as _;
use std::os::unix::net::UnixStream;

use rustix::process::{WaitOptions, wait};
use worker_core::exit::Exit;

/// Collects every child that has ended.
pub(super) fn reap(signals: &mut UnixStream) -> Vec<(i32, Exit)> {
    let mut buffer = [0; 64];
    while matches!(signals.read(&mut buffer), Ok(count) if count > 0) {}
    let mut ended = Vec::new();
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        let exit = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::Vanished,
        };
        ended.push((pid.as_raw_nonzero().get(), exit));
    }
    ended
}

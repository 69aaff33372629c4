//! A program and the programs it started.

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;
use tracing::debug;

/// The process group of a program that was started as the first of one; killed on drop.
#[derive(Debug)]
pub(crate) struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    pub(crate) fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(group) = self.0
            && let Err(error) = kill_process_group(group, signal)
        {
            debug!(%error, "the process group is gone");
        }
    }

    /// The program has ended by itself: what it left running is meant to run on, and its number may soon be another's.
    pub(crate) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

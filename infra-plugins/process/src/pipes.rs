//! What is spoken with a supervisor through while it starts.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::OwnedFd;

/// The worker's ends.
pub(crate) struct Pipes {
    /// Takes the spec.
    pub(crate) tell: OwnedFd,
    /// Has the answer.
    pub(crate) hear: OwnedFd,
    /// The process that is to fork the supervisor.
    pub(crate) server: Option<u32>,
}

impl Pipes {
    /// The worker's ends, and the supervisor's: what it reads and what it writes.
    pub(crate) fn new(server: Option<u32>) -> io::Result<(Self, PipeReader, PipeWriter)> {
        let (spec, tell) = io::pipe()?;
        let (hear, answer) = io::pipe()?;
        Ok((Self { tell: tell.into(), hear: hear.into(), server }, spec, answer))
    }
}

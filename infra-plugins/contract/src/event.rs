//! What infrastructure does, as plugins tell it.

use worker_core::exit::ExitReport;

/// Something that happened to a run's infrastructure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InfraEvent {
    /// It runs.
    Started,
    /// A piece of its output; complete lines where possible.
    Output {
        /// Where it was written.
        stream: LogStream,
        /// The bytes as text; what is not UTF-8 is replaced.
        text: String,
    },
    /// Something the flow's author should know (an image that cannot be pulled, a pod that cannot be placed).
    Warning(String),
    /// It ended. The last event.
    Exited(ExitReport),
}

/// One of the two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How the infrastructure behind a handle is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It runs.
    Running,
    /// It has ended.
    Exited(ExitReport),
    /// It is gone and its end is unknown.
    Gone,
}

/// How a kill went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Killed {
    /// It ended within the grace.
    Gracefully,
    /// It had to be forced.
    Forcibly,
    /// There was nothing left to stop.
    AlreadyGone,
}

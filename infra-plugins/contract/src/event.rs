//! What infrastructure does, as plugins tell it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use uuid::Uuid;
use worker_core::exit::ExitReport;
use worker_core::handle::Handle;

use crate::Severity;

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
    /// A line of its output that belongs into the run's own log.
    LogLine {
        /// The line, without its end.
        text: String,
        /// When it was written.
        written: Timestamp,
    },
    /// Something that Prefect's worker of the kind tells the world by an event. In a box: it is large and seldom, and each of
    /// thousands of watches has room for an event.
    Occurred(Box<Occurrence>),
    /// It exists and cannot run yet: the words for the run's own state.
    Waiting(String),
    /// Something the flow's author should know (an image that cannot be pulled, a pod that cannot be placed).
    Diagnosis {
        /// Whether the run may still get over it.
        severity: Severity,
        /// What is wrong and what to do about it.
        text: String,
    },
    /// It ended. The last event.
    Exited(ExitReport),
}

/// What an event about the infrastructure says. Its id follows from the execution, so that the server takes what a later
/// process says again for what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// Id of the event.
    pub id: Uuid,
    /// Name of the event, such as `prefect.docker.container.running`.
    pub event: String,
    /// When it happened.
    pub occurred: Timestamp,
    /// The resource that it is about, as the event has it.
    pub resource: BTreeMap<String, String>,
    /// Id of the event before it.
    pub follows: Option<Uuid>,
    /// What it relates to, where the infrastructure itself says so; empty leaves it to the run.
    pub related: Vec<BTreeMap<String, String>>,
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

/// What is known of infrastructure by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// It is there, running or not.
    Found(Box<Handle>),
    /// The backend had it and has it no more.
    Gone,
    /// This worker cannot get at it, or cannot tell.
    Elsewhere,
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

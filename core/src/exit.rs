//! How infrastructure ended.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How the infrastructure of a run ended. Data, never an error: an error means only that it could not be found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It ended by itself with this exit code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// The kernel or the backend killed it for using too much memory.
    OutOfMemory,
    /// The backend took it away (eviction, preemption).
    Evicted,
    /// The machine it ran on was restarted or is lost, and everything on it with it.
    NodeLost,
    /// It was given up because it could not be started.
    NeverStarted,
    /// It is gone, a second source agrees, and nothing says how it ended.
    Vanished,
}

impl Exit {
    /// The status code that is reported to the API: a signal is the negative of its number, as Prefect's process
    /// worker reports it.
    pub const fn status_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => -signal,
            Self::OutOfMemory => 137,
            Self::Evicted => 143,
            Self::NodeLost | Self::NeverStarted | Self::Vanished => -1,
        }
    }

    /// Whether it ended with exit code 0.
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Code(0))
    }
}

/// What the engine inside the infrastructure told us itself before it ended. It means that the run's state at the API
/// is settled and that the exit code says nothing more about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// The engine has reported its outcome; the id and type of the state it reported, as far as it said them.
    StateReported {
        /// Id of the reported state.
        state_id: Option<Uuid>,
        /// Type of the reported state, in the API's spelling.
        state_type: Option<String>,
    },
    /// The server told the engine not to go on.
    OrchestrationAborted,
    /// The engine acknowledged that it is being cancelled and will settle the state itself.
    CancelAcknowledged,
}

/// The end of a run's infrastructure: how, and what is known besides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitReport {
    /// How it ended.
    pub exit: Exit,
    /// What the engine concluded before the end, if it said so.
    pub concluded: Option<Conclusion>,
    /// One sentence for people (the last lines of stderr, the backend's reason), without secrets.
    pub detail: Option<String>,
}

impl ExitReport {
    /// An end of which nothing but the exit is known.
    pub const fn bare(exit: Exit) -> Self {
        Self { exit, concluded: None, detail: None }
    }
}

//! What a worker can order a supervisor to do: one line, answered by one line.

use std::fmt;

use infra_contract::FlowHooks;
use serde::{Deserialize, Serialize};

/// An order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// Announce a cancellation to the engine. Answered with an [`Announced`].
    Cancel,
    /// Send the command a termination signal, unless that was done before.
    Terminate,
    /// Kill everything.
    Kill,
    /// Run the hooks of the ended run. Answered with a [`HooksAnswer`] when they have ended.
    RunHooks(Hooks),
    /// Kill what is left, remove the cgroup, and end.
    Leave,
}

/// What became of the announcement of a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Announced {
    /// The engine treats the signal that follows as a cancellation.
    Acknowledged,
    /// The engine has settled the run's state before, and is about to end.
    AlreadyConcluded,
    /// The engine is not listening, or did not answer in time.
    Unheard,
}

/// [`FlowHooks`] as they are named in orders, in files and to Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Hooks {
    OnCancellation,
    OnCrashed,
}

impl From<FlowHooks> for Hooks {
    fn from(hooks: FlowHooks) -> Self {
        match hooks {
            FlowHooks::OnCancellation => Self::OnCancellation,
            FlowHooks::OnCrashed => Self::OnCrashed,
        }
    }
}

impl fmt::Display for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OnCancellation => "on_cancellation",
            Self::OnCrashed => "on_crashed",
        })
    }
}

/// What became of an order to run hooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HooksAnswer {
    /// They ran, now or before.
    Ran,
    /// The run has not ended.
    TooEarly,
    /// The run's command is not the default one: nobody knows the Python that can load its flow.
    Unsupported,
    /// They could not be run, or one of them failed.
    Failed(String),
}

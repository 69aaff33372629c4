//! What the runs of a round execute.

use std::path::Path;
use std::time::Duration;

use central_api_wire::state::StateType;
use serde_json::{Map, Value, json};

use crate::harness::command_variables;

/// The script behind all of them.
pub(super) const SCRIPT: &str = include_str!("job.sh");
pub(super) const SCRIPT_NAME: &str = "job.sh";

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// Ends well.
    Succeeds,
    /// Exits with 3; the worker reports for it.
    Fails,
    /// Kills itself.
    Dies,
    /// Exits with 3 in the place of an engine that has reported nothing.
    CrashesAsEngine,
    /// Ends well after much output.
    Talks,
    /// Ends well and leaves processes in other sessions, without its environment, deaf to SIGTERM.
    LeavesChildren,
    /// Goes on until it is killed.
    IgnoresSigterm,
    /// Goes on until it is killed, and starts processes while it is being terminated.
    Breeds,
}

impl Job {
    const fn word(self) -> &'static str {
        match self {
            Self::Succeeds => "succeeds",
            Self::Fails | Self::CrashesAsEngine => "fails",
            Self::Dies => "dies",
            Self::Talks => "talks",
            Self::LeavesChildren => "leaves-children",
            Self::IgnoresSigterm => "ignores-sigterm",
            Self::Breeds => "breeds",
        }
    }

    /// The state in which it ends when nobody interferes; none if it does not end.
    pub(super) const fn end(self) -> Option<StateType> {
        match self {
            Self::Succeeds | Self::Talks | Self::LeavesChildren => Some(StateType::Completed),
            Self::Fails => Some(StateType::Failed),
            Self::Dies | Self::CrashesAsEngine => Some(StateType::Crashed),
            Self::IgnoresSigterm | Self::Breeds => None,
        }
    }

    /// The job variables of a deployment that does it.
    pub(super) fn variables(self, folder: &Path, seconds: f64) -> Map<String, Value> {
        let command = format!("sh {} {} {seconds:.2}", folder.join(SCRIPT_NAME).display(), self.word());
        match self {
            Self::CrashesAsEngine => Map::from_iter([("command".to_owned(), json!(command))]),
            Self::Succeeds
            | Self::Fails
            | Self::Dies
            | Self::Talks
            | Self::LeavesChildren
            | Self::IgnoresSigterm
            | Self::Breeds => command_variables(&command),
        }
    }
}

/// The job variables of a run that ends well only while `wanted` runs of the same meeting execute.
pub(super) fn meeting(folder: &Path, wanted: usize, name: &str, patience: Duration) -> Map<String, Value> {
    let script = folder.join(SCRIPT_NAME);
    command_variables(&format!("sh {} meets {wanted} {name} {}", script.display(), patience.as_secs()))
}

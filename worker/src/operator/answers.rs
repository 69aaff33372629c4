//! What goes over the control socket. `--json` prints the same, so fields are added and not renamed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use worker_core::ids::RunId;

use crate::admission::Hold;
use crate::daemon::Stopped;
use crate::live_runs::Stage;
use crate::timeline::Note;

/// What a daemon is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DaemonState {
    /// It takes runs.
    Serving,
    /// The operator lets it take nothing new.
    Cordoned,
    /// It stops, and waits for its runs or for what they still have to say.
    Draining,
}

impl DaemonState {
    /// What a daemon is doing that is so far and is cordoned or not.
    pub const fn of(course: Course, cordoned: bool) -> Self {
        match course {
            Course::Staying if cordoned => Self::Cordoned,
            Course::Staying => Self::Serving,
            Course::Stopping | Course::Ended(_) => Self::Draining,
        }
    }
}

/// How far the daemon is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// It is there to stay.
    Staying,
    /// It stops.
    Stopping,
    /// It has stopped, so.
    Ended(Stopped),
}

/// `GET /status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The name of the daemon's folder.
    pub daemon: String,
    /// Version of the program.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// The first API, without credentials.
    pub api: String,
    /// The APIs, if there are several or it has a name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workspaces: Vec<WorkspaceStatus>,
    /// When it started.
    pub started: Timestamp,
    /// How long ago that was.
    pub uptime_seconds: u64,
    /// What it is doing.
    pub state: DaemonState,
    /// Runs that are not over, in all pools.
    pub live: usize,
    /// At most so many that hold a slot; none is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_runs: Option<usize>,
    /// Those among them that an earlier process took from a pool which this one does not serve.
    pub live_elsewhere: usize,
    /// The pools.
    pub pools: Vec<PoolStatus>,
}

/// How a pool is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// The API is being asked what kind of pool it is.
    Opening,
    /// It is polled.
    Ok,
    /// It does not exist at the API.
    Missing,
    /// It is paused at the API, which offers none of its runs.
    Paused,
    /// The API has answered no poll for some time.
    Unanswered,
    /// It cannot be served.
    Refused,
    /// It is no longer asked for; its live runs are seen to their end.
    Left,
}

/// One API of a [`Status`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkspaceStatus {
    /// Its name; none for the API of Prefect's own settings.
    pub name: Option<String>,
    /// Where it is, without credentials.
    pub api: String,
}

/// One pool of a [`Status`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PoolStatus {
    /// Its name.
    pub name: String,
    /// The name of its workspace, if that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// The worker's name in it, once the pool is open.
    pub worker: Option<String>,
    /// Runs that are not over.
    pub live: usize,
    /// Those among them that count for the limit.
    #[serde(default)]
    pub slots: usize,
    /// At most so many; none is no limit.
    pub limit: Option<usize>,
    /// Which pool takes first while not all can: 1 before 2.
    #[serde(default)]
    pub priority: usize,
    /// How long ago the last poll was answered; none before the pool is open.
    pub last_poll_seconds: Option<f64>,
    /// How it is served.
    pub health: Health,
    /// Why due runs of it are left where they are, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// Why it is not, where there is more to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// One run of `GET /runs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSeen {
    /// The daemon that executes it.
    pub daemon: String,
    /// The flow run.
    pub id: RunId,
    /// Its name.
    pub name: String,
    /// The pool that offered it.
    pub pool: String,
    /// The name of that pool's workspace, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// Where it is.
    pub stage: Stage,
    /// Since when.
    pub since: Timestamp,
    /// Its infrastructure, once there is some.
    pub infrastructure: Option<String>,
    /// Whether an earlier process took it on.
    pub adopted: bool,
}

/// The body of `POST /why` and `POST /cancel`. A run that the daemon does not know is looked for at the API by its whole id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunNamed {
    /// Its id, its name, or the beginning of either.
    pub run: String,
}

/// The answer to `POST /why`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Why {
    /// The daemon that tells.
    pub daemon: String,
    /// The flow run.
    pub id: RunId,
    /// Its name.
    pub name: String,
    /// Its pool, if it has one.
    pub pool: Option<String>,
    /// The name of the workspace that it is in, if that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// Whether this daemon serves that pool.
    pub pool_is_served: bool,
    /// The run as it is now, if it is executed here.
    pub live: Option<RunSeen>,
    /// What was decided, oldest first.
    pub notes: Vec<Note>,
    /// How many notes in the middle were left out.
    pub dropped: usize,
    /// What is visible of a run that is not executed here.
    pub visible: Vec<String>,
}

/// What the API said to a cancellation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApiAnswer {
    /// The run is in this state now.
    State(String),
    /// It is not cancelled, because.
    Refused(String),
    /// The API gave no answer, because.
    Away(String),
}

/// The answer to `POST /cancel`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// The daemon that did it.
    pub daemon: String,
    /// The flow run.
    pub id: RunId,
    /// Its name, if it is known.
    pub name: String,
    /// What the API said.
    pub api: ApiAnswer,
    /// Whether it was executed here and is being stopped.
    pub is_stopping: bool,
}

impl Cancelled {
    /// Whether the run is cancelled or is going to be.
    pub const fn took(&self) -> bool {
        self.is_stopping || matches!(self.api, ApiAnswer::State(_))
    }
}

/// The answer to `POST /cordon` and `POST /uncordon`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cordoned {
    /// The daemon.
    pub daemon: String,
    /// Whether it takes nothing new.
    pub cordoned: bool,
    /// Whether that is a change.
    pub changed: bool,
}

/// The body of `POST /drain`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct DrainWish {
    /// After so many seconds runs are stopped; without it they are waited for as long as they take.
    #[serde(default)]
    pub timeout_seconds: Option<f64>,
}

/// The answer to `POST /drain`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Draining {
    /// The daemon.
    pub daemon: String,
    /// Its process id.
    pub pid: u32,
    /// Runs that it waits for.
    pub live: usize,
    /// Whether it was stopping already: then a time-out that was asked for does not count.
    pub already: bool,
}

/// The answer to `GET /end`, given at the end.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Ended {
    /// How it stopped.
    pub stopped: Stopped,
}

/// What is answered in place of an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// Why, for people.
    pub error: String,
}

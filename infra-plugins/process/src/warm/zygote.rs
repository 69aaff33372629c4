//! A Python that has imported the SDK, and is forked for each run.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::frame;
use super::key::Key;
use crate::environment::LAUNCH_MARKER;
use crate::pipes::Pipes;

/// What it executes.
const PROGRAM: &str = include_str!("zygote.py");

/// How it is started, and the marker it is given: as long as what a run shows in their places.
const ARGUMENTS: [&str; 2] = ["-", "worker-warmpool"];
const MARKER: &str = "00000000-0000-0000-0000-000000000000-00000000";

/// How long it may take to import the SDK. It is a matter of seconds on an idle machine.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// With which it was seen that a run cannot tell the difference. Others start cold.
const KNOWN_PYTHONS: [&str; 4] = ["3.10", "3.11", "3.12", "3.13"];
const KNOWN_SDK: &str = "3.8.";

/// What a zygote says of itself when it is ready.
#[derive(Debug, Deserialize)]
pub(super) struct Ready {
    python: String,
    sdk: String,
    /// Variables that were looked at by what it has imported.
    pub(super) asked: Vec<String>,
    /// Names of what it has imported.
    pub(super) modules: Vec<String>,
    /// Files, and what they were: time of change in nanoseconds, size, number.
    watched: BTreeMap<String, Option<(i128, u64, u64)>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    Ready(Ready),
    Unfit(String),
}

impl Ready {
    /// What was imported.
    pub(super) fn versions(&self) -> String {
        format!("Python {} and Prefect {}", self.python, self.sdk)
    }
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error("{0}")]
    Said(String),
    #[error("the interpreter is a script, which may choose another one for each directory")]
    Script,
    #[error("Python {python} with Prefect {sdk} is not known to this release")]
    Unknown { python: String, sdk: String },
    #[error("Python cannot be started, or does not import Prefect")]
    Broken(#[source] io::Error),
}

pub(super) struct Zygote {
    pub(super) ready: Ready,
    pub(super) since: Instant,
    pub(super) starts: u32,
    pub(super) used: Instant,
    child: Child,
    channel: UnixStream,
}

impl Zygote {
    /// Starts one and waits until it can be forked.
    pub(super) async fn start(key: &Key) -> Result<Self, Unfit> {
        if !is_a_binary(&key.python).map_err(Unfit::Broken)? {
            return Err(Unfit::Script);
        }
        let (mut child, channel) = spawn(key).await.map_err(Unfit::Broken)?;
        let heard = timeout(READY_LIMIT, hear(channel)).await;
        let (said, channel) = heard.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(|error| {
            child.start_kill().unwrap_or_default();
            Unfit::Broken(error)
        })?;
        let ready = match said {
            Said::Ready(ready) => ready,
            Said::Unfit(why) => return Err(Unfit::Said(why)),
        };
        // It ends when its channel is closed.
        if !KNOWN_PYTHONS.contains(&ready.python.as_str()) || !ready.sdk.starts_with(KNOWN_SDK) {
            return Err(Unfit::Unknown { python: ready.python, sdk: ready.sdk });
        }
        let now = Instant::now();
        Ok(Self { ready, since: now, used: now, starts: 0, child, channel })
    }

    /// Its process, for the operator's log.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends it at once. What it has forked goes on.
    pub(super) fn kill(&mut self) {
        self.child.start_kill().unwrap_or_default();
    }

    /// Whether files by which the SDK is known are others now. Reads the file system.
    pub(super) fn is_outdated(&self) -> bool {
        self.ready.watched.iter().any(|(path, was)| stamp(path) != *was)
    }

    /// Has a supervisor of a run started, with a process that waits to become the run. Nothing of the run has been started if this
    /// fails.
    pub(super) fn fork(&mut self, supervisor: &File, words: &[String]) -> io::Result<Pipes> {
        let (pipes, spec, answer) = Pipes::new(self.pid())?;
        let order = json!({ "argv": words });
        frame::send(&self.channel, &order, &[spec.as_fd(), answer.as_fd(), supervisor.as_fd()])?;
        self.starts += 1;
        self.used = Instant::now();
        Ok(pipes)
    }
}

fn is_a_binary(python: &Utf8Path) -> io::Result<bool> {
    let mut magic = [0; 4];
    File::open(python)?.read_exact(&mut magic)?;
    Ok(magic == *b"\x7fELF")
}

async fn spawn(key: &Key) -> io::Result<(Child, UnixStream)> {
    let (ours, its) = UnixStream::pair()?;
    let mut child = Command::new(&key.python)
        .args(ARGUMENTS)
        .env_clear()
        .envs(&key.environment)
        .env(LAUNCH_MARKER, MARKER)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(OwnedFd::from(its))
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut program) = child.stdin.take() {
        program.write_all(PROGRAM.as_bytes()).await?;
    }
    Ok((child, ours))
}

async fn hear(channel: UnixStream) -> io::Result<(Said, UnixStream)> {
    channel.set_nonblocking(true)?;
    let mut channel = tokio::net::UnixStream::from_std(channel)?;
    let mut length = [0; 4];
    channel.read_exact(&mut length).await?;
    let mut text = vec![0; frame::size(length)?];
    channel.read_exact(&mut text).await?;
    Ok((serde_json::from_slice(&text)?, channel.into_std()?))
}

fn stamp(path: &str) -> Option<(i128, u64, u64)> {
    let status = std::fs::metadata(path).ok()?;
    let changed = i128::from(status.mtime()) * 1_000_000_000 + i128::from(status.mtime_nsec());
    Some((changed, status.size(), status.ino()))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use worker_core::ids::{LaunchKey, RunId, TransitionId};

    use super::*;

    #[test]
    fn what_a_zygote_shows_has_room_for_what_a_run_shows() {
        let key = LaunchKey { run: RunId(Uuid::new_v4()), claim: TransitionId(Uuid::new_v4()) };
        assert_eq!(MARKER.len(), key.to_string().len());
        assert_eq!(ARGUMENTS.join("\0").len(), "-m\0prefect.engine".len());
    }
}

//! What the plugin is told by the worker's settings.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::Utf8PathBuf;
use infra_contract::Owner;
use serde::{Deserialize, Serialize};

/// Settings of the Docker kind. `worker_environment` holds credentials, so there is no `Debug`.
#[derive(Clone)]
pub struct DockerSettings {
    /// Where the engine is, as in `DOCKER_HOST`; `None` finds it as the Docker command does.
    pub host: Option<String>,
    /// The worker's own environment: `DOCKER_HOST` and the like, `HOME`, `PATH`.
    pub worker_environment: BTreeMap<String, String>,
    /// Whose containers these are.
    pub owner: Owner,
    /// Where the plugin notes how far output was read and which containers are only kept. Made when needed.
    pub state_directory: Utf8PathBuf,
    /// What becomes of the container of a run that is over.
    pub cleanup: Cleanup,
    /// How secrets reach a container.
    pub secrets: Secrets,
    /// A pull that makes no progress for so long is given up.
    pub image_pull_deadline: Duration,
}

/// What becomes of a container when its run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cleanup {
    /// It stays.
    Keep,
    /// It is removed.
    Remove,
    /// It is removed after this time.
    After(Duration),
}

/// How secrets reach a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// In a file that only the container's user can read and that the engine does not record.
    File,
    /// As plain environment variables, which `docker inspect` shows.
    Environment,
}

/// How long a container is kept where nothing else is said.
pub const DEFAULT_TTL: Duration = Duration::from_hours(1);

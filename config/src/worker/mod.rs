//! This daemon's own settings: `worker.toml` and the `WORKER_…` variables.

pub(crate) mod file;
mod forms;
pub(crate) mod keys;
pub(crate) mod pool;
mod read;
mod types;
pub(crate) mod variables;

pub use keys::{KEYS, Key, KeyKind, POOL_KEYS};
pub(crate) use read::{StateDirectory, WorkerReading};
pub use types::{
    AdmissionSettings, ClientCertificate, DockerCleanup, DockerSecrets, DockerSettings, LogFormat, LogSettings,
    PoolSettings, ProcessSettings, RunsAtStop, ShutdownSettings, StartSettings, WorkerSettings,
};

//! This daemon's own settings: `worker.toml` and the `WORKER_…` variables.

pub(crate) mod file;
mod forms;
pub(crate) mod keys;
pub(crate) mod otlp;
pub(crate) mod pool;
pub(crate) mod pool_keys;
mod read;
mod run_api_key;
pub(crate) mod sandbox;
mod types;
pub(crate) mod variables;
pub(crate) mod workspace;

pub use keys::{KEYS, Key, KeyKind};
pub use otlp::OtlpSettings;
pub use pool::place;
pub use pool_keys::POOL_KEYS;
pub(crate) use read::{StateDirectory, WorkerReading};
pub use run_api_key::RunApiKey;
pub use sandbox::{DEFAULT_SANDBOX, SANDBOX_PROFILE_KEYS};
pub use types::{
    AdmissionSettings, AuditSettings, ClientCertificate, CodeSettings, DockerCleanup, DockerSecrets, DockerSettings,
    HoldSlots, KubernetesCleanup, KubernetesSecrets, KubernetesSettings, LatePolicy, LogFormat, LogSettings,
    PoolSettings, ProcessEnvironmentMode, ProcessSettings, RunsAtStop, SandboxChoice, SandboxProfile, SandboxSettings,
    ShutdownSettings, StartSettings, WarmStarts, WorkerSettings,
};
pub use workspace::{WORKSPACE_KEYS, WorkspaceSettings};

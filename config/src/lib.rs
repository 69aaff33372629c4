//! The settings of the daemon: typed, with the source of each value known, secrets masked wherever a value is shown.
//!
//! Two families. Prefect's own settings are shared with the Python SDK, so the daemon finds an API, a key or an interval
//! where `prefect worker start` would: flags, environment, `.env`, `prefect.toml`, `pyproject.toml`, the active profile,
//! default, in this order. The daemon's own settings come from flags, `WORKER_…` variables and `worker.toml` files. Every
//! source is a layer; the `config` crate merges them.
//!
//! Besides typed settings, loading gives the base environment of flow runs: all Prefect settings that some source sets,
//! also those the daemon does not use itself, in the form the SDK would hand on.
//!
//! This crate spawns nothing and has no channels. It reads files and, in [`process_environment`] alone, the process's own
//! surroundings. It also reads the policy file, [`PolicyFile`]. It never writes, never prints, and never calls the API; that no API is configured is no error here.

mod credentials;
mod dotenv;
mod error;
mod gather;
mod layer;
mod load;
mod mask;
mod memory_size;
mod origin;
mod policy;
mod prefect;
mod process_environment;
mod python_text;
mod raw;
mod reading;
pub mod reference;
mod toml_document;
mod value;
mod worker;

pub use error::{ConfigError, ConfigErrors};
pub use load::{LoadFrom, Loaded, Override, OverrideValue, Settings};
pub use origin::Origin;
pub use policy::{PolicyFile, STANDARD_POLICY_FILE};
pub use prefect::{
    ApiSettings, ApiUrl, ClientSettings, CloudSettings, LogLevel, LoggingSettings, LoggingToApiSettings,
    PrefectKubernetesSettings, PrefectSettings, PrefectWorkerSettings, RunnerSettings, SecretKeyRef,
};
pub use process_environment::{ProcessEnvironment, process_environment};
pub use reading::Effective;
pub use worker::{
    AdmissionSettings, AuditSettings, ClientCertificate, CodeSettings, DEFAULT_SANDBOX, DockerCleanup, DockerSecrets,
    DockerSettings, HoldSlots, KEYS, Key, KeyKind, KubernetesCleanup, KubernetesSecrets, KubernetesSettings,
    LatePolicy, LogFormat, LogSettings, OtlpSettings, POOL_KEYS, PoolSettings, ProcessEnvironmentMode, ProcessSettings,
    RunApiKey, RunsAtStop, SANDBOX_PROFILE_KEYS, SandboxChoice, SandboxProfile, SandboxSettings, ShutdownSettings,
    StartSettings, WORKSPACE_KEYS, WarmStarts, WorkerSettings, WorkspaceSettings, place,
};

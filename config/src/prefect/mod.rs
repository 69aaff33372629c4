//! The settings of the Prefect SDK: all of their names, the sources that set them, and those a worker honours.

mod base_environment;
mod forms;
pub(crate) mod known;
mod kubernetes;
pub(crate) mod profile;
mod read;
pub(crate) mod toml_files;
mod types;
pub(crate) mod variables;

pub(crate) use base_environment::{base_environment, list_handed_on};
pub(crate) use profile::{PROFILES_PATH, expand_home};
pub(crate) use read::PrefectReading;
pub use types::{
    ApiSettings, ApiUrl, ClientSettings, CloudSettings, LogLevel, LoggingSettings, LoggingToApiSettings,
    PrefectKubernetesSettings, PrefectSettings, PrefectWorkerSettings, RunnerSettings, SecretKeyRef,
};

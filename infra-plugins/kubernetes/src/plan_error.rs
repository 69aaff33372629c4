//! Why a job configuration cannot be turned into a Job.

use worker_core::job_configuration::JobConfigurationError;

/// A job configuration that cannot be carried out. Names fields and paths, never values of the environment.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    #[error("the job configuration cannot be carried out")]
    Configuration(#[from] JobConfigurationError),
    #[error("job configuration field `{field}` must be {expected}")]
    Field { field: &'static str, expected: &'static str },
    /// In Prefect's words.
    #[error("Job is missing required attributes at the following paths: {}", .0.join(", "))]
    Missing(Vec<String>),
    /// In Prefect's words.
    #[error("Job has incompatible values for the following attributes: {}", .0.join(", "))]
    Incompatible(Vec<String>),
    #[error("the job manifest's `{path}` must be {expected}, found {found}")]
    Shape { path: &'static str, expected: &'static str, found: &'static str },
    #[error("the job manifest is for namespace `{manifest}`, and job variable `namespace` is `{variable}`")]
    Namespaces { manifest: String, variable: String },
    #[error("the command cannot be split into words")]
    Command(#[source] shell_words::ParseError),
    #[error("environment variable `{0}` would be kept in a Secret, which cannot have a key of that name")]
    SecretKey(String),
    #[error("job variable `native_code` is set, and the worker has no image for the container that brings the code")]
    InitImage,
    #[error("the plan cannot be read")]
    Unreadable(#[source] serde_json::Error),
}

impl PlanError {
    /// What to do about it.
    pub(crate) const fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Configuration(error) => error.hint(),
            Self::Missing(_) | Self::Incompatible(_) | Self::Shape { .. } => {
                "Correct `job_manifest` in the work pool's base job template. Its pod has `restartPolicy: Never`, and its \
                 first container is named `prefect-job`"
            }
            Self::Namespaces { .. } => "Write `\"namespace\": \"{{ namespace }}\"` in the manifest's `metadata`",
            Self::SecretKey(_) => {
                "Use only letters, digits, `-`, `_` and `.` in its name, or set WORKER_KUBERNETES_SECRETS=environment to \
                 show secrets in `kubectl get job`"
            }
            Self::InitImage => {
                "Set `kubernetes.init_image` (WORKER_KUBERNETES_INIT_IMAGE) to an image with the programs `worker` and `git`"
            }
            Self::Command(_) => "Close its quotes",
            Self::Field { .. } | Self::Unreadable(_) => return None,
        })
    }
}

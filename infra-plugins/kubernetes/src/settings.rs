//! What the plugin is told by the worker's settings.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::Utf8PathBuf;
use infra_contract::Owner;
use serde::{Deserialize, Serialize};

/// Settings of the Kubernetes kind.
#[derive(Clone)]
pub struct KubernetesSettings {
    /// Whose Jobs these are.
    pub owner: Owner,
    /// Where the plugin keeps its notes. Made when needed.
    pub state_directory: Utf8PathBuf,
    /// The kubeconfig to use; `None` finds one as `kubectl` does, after the service account of the worker's own pod.
    pub kubeconfig: Option<String>,
    /// The context in it; `None` is its current one.
    pub context: Option<String>,
    /// Namespaces that are observed; none means all of the cluster.
    pub namespaces: Vec<String>,
    /// Labels that observed Jobs and pods have besides those of Prefect.
    pub label_filters: BTreeMap<String, String>,
    /// Whether Jobs of other workers are observed.
    pub observe: bool,
    /// Whether what happens to pods becomes events of Prefect.
    pub replicate_pod_events: bool,
    /// Whether the last output of a pod that crashed before its run had started goes to the run's log.
    pub forward_crashed_run_logs: bool,
    /// How many lines of it.
    pub forward_crashed_run_logs_tail_lines: i64,
    /// How many pods at once are asked about at the start.
    pub startup_event_concurrency: usize,
    /// A Secret that holds the API key for runs.
    pub api_key_secret: Option<SecretKeyRef>,
    /// A Secret that holds the auth string for runs.
    pub api_auth_string_secret: Option<SecretKeyRef>,
    /// Whether the worker keeps its API key in one Secret for all its runs.
    pub create_secret_for_api_key: bool,
    /// Whether the whole environment of a run goes into its Secret.
    pub store_env_as_secret: bool,
    /// How secrets reach a pod.
    pub secrets: Secrets,
    /// How long the creation of a Job is tried.
    pub create_deadline: Duration,
    /// What becomes of the Job of a run that is over.
    pub cleanup: Cleanup,
    /// After so long Kubernetes removes the Job of a run that asks for it without saying when.
    pub cleanup_ttl: Duration,
    /// How long an image may be pulled.
    pub image_pull_deadline: Option<Duration>,
    /// How long a pod may take to start.
    pub start_deadline: Option<Duration>,
    /// The image that brings the code of runs with job variable `native_code`.
    pub init_image: Option<String>,
}

/// A key of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretKeyRef {
    /// Name of the Secret.
    pub name: String,
    /// The key in it.
    pub key: String,
}

/// What becomes of a Job when its run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cleanup {
    /// It stays.
    Keep,
    /// The worker removes it.
    Remove,
    /// Kubernetes removes it after this time.
    After(Duration),
}

/// How secrets reach a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// In a Secret of the Job's own.
    Secret,
    /// As plain environment variables, which `kubectl get job` shows.
    Environment,
}

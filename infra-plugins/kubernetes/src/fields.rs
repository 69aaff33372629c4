//! The fields of the job configuration that belong to this kind.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use worker_core::job_configuration::JobConfigurationError;
use worker_core::job_configuration::lenient::{self, Fields};
use worker_core::template::{TemplateError, substitute};

use crate::plan_error::PlanError;
use crate::template;

/// Job variables of ours, which pools made by Prefect do not know.
pub(crate) const OWN_VARIABLES: [&str; 5] =
    ["ship_output", "image_pull_deadline_seconds", "start_deadline_seconds", "cleanup", "native_code"];

/// The namespace where none is given.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";

/// Prefect's default for `pod_watch_timeout_seconds`. It stands in every pool made from the template and has had no effect
/// for years, so a pool that says it means nothing by it.
const POD_WATCH_TIMEOUT_OF_TEMPLATE: i64 = 60;

/// A cluster and how to log in to it. Holds credentials, so there is no `Debug`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClusterConfigBlock {
    /// A kubeconfig, as an object or as its YAML text.
    pub(crate) config: Value,
    pub(crate) context_name: String,
}

/// What the job configuration says, read. May hold secrets, so there is no `Debug`.
pub(crate) struct KubernetesFields {
    pub(crate) namespace: String,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) job_manifest: Fields,
    pub(crate) cluster_config: Option<ClusterConfigBlock>,
    /// How long the Job may take.
    pub(crate) job_watch_timeout: Option<Duration>,
    /// Whether the pod's output goes to the worker's own.
    pub(crate) stream_output: bool,
    /// Whether the pod's output goes to the run's log.
    pub(crate) ship_output: bool,
    pub(crate) image_pull_deadline: Option<Duration>,
    /// How long the pod may take to start.
    pub(crate) start_deadline: Option<Duration>,
    /// The run's own clean-up policy.
    pub(crate) cleanup: Option<CleanupWord>,
    /// Whether an init container brings the code.
    pub(crate) native_code: bool,
}

/// A word of job variable `cleanup`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CleanupWord {
    Keep,
    Remove,
    Ttl,
}

impl KubernetesFields {
    pub(crate) fn read(fields: &Fields) -> Result<Self, PlanError> {
        let pod_watch_timeout = lenient::int(fields, "pod_watch_timeout_seconds")?
            .filter(|seconds| *seconds != POD_WATCH_TIMEOUT_OF_TEMPLATE)
            .and_then(above_zero);
        Ok(Self {
            namespace: lenient::string(fields, "namespace")?
                .filter(|namespace| !namespace.is_empty())
                .unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
            annotations: lenient::string_map(fields, "annotations")?.unwrap_or_default(),
            job_manifest: job_manifest(fields)?,
            cluster_config: cluster_config(fields)?,
            job_watch_timeout: lenient::int(fields, "job_watch_timeout_seconds")?.and_then(above_zero),
            stream_output: lenient::bool(fields, "stream_output")?.unwrap_or(true),
            ship_output: lenient::bool(fields, "ship_output")?.unwrap_or(false),
            image_pull_deadline: seconds(fields, "image_pull_deadline_seconds")?,
            start_deadline: seconds(fields, "start_deadline_seconds")?.or(pod_watch_timeout),
            cleanup: cleanup(fields)?,
            native_code: lenient::bool(fields, "native_code")?.unwrap_or(false),
        })
    }
}

/// The manifest; where a pool has none, that of the default template with what is known.
fn job_manifest(fields: &Fields) -> Result<Fields, PlanError> {
    if let Some(manifest) = lenient::object(fields, "job_manifest")? {
        return Ok(manifest.clone());
    }
    let template = template::base_job_template();
    let manifest = template.as_json().pointer("/job_configuration/job_manifest").cloned().unwrap_or_default();
    let filled = substitute(&manifest, fields, &BTreeMap::new()).map_err(of_template)?;
    Ok(filled.and_then(|manifest| manifest.as_object().cloned()).unwrap_or_default())
}

const fn of_template(error: TemplateError) -> PlanError {
    PlanError::Configuration(JobConfigurationError::Template(error))
}

fn cluster_config(fields: &Fields) -> Result<Option<ClusterConfigBlock>, PlanError> {
    let Some(block) = lenient::object(fields, "cluster_config")? else { return Ok(None) };
    let config = block.get("config").filter(|config| config.is_object() || config.is_string());
    let context_name = block.get("context_name").and_then(Value::as_str);
    match (config, context_name) {
        (Some(config), Some(context_name)) => {
            Ok(Some(ClusterConfigBlock { config: config.clone(), context_name: context_name.to_owned() }))
        }
        _ => Err(PlanError::Field {
            field: "cluster_config",
            expected: "a kubernetes-cluster-config block, with `config` and `context_name`",
        }),
    }
}

/// Prefect takes any number here, so one that makes no sense is no error.
fn above_zero(seconds: i64) -> Option<Duration> {
    u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

fn seconds(fields: &Fields, field: &'static str) -> Result<Option<Duration>, PlanError> {
    let Some(seconds) = lenient::int(fields, field)? else { return Ok(None) };
    let expected = "a number of seconds above zero";
    above_zero(seconds).map(Some).ok_or(PlanError::Field { field, expected })
}

fn cleanup(fields: &Fields) -> Result<Option<CleanupWord>, PlanError> {
    let Some(word) = lenient::string(fields, "cleanup")? else { return Ok(None) };
    match word.as_str() {
        "keep" => Ok(Some(CleanupWord::Keep)),
        "remove" => Ok(Some(CleanupWord::Remove)),
        "ttl" => Ok(Some(CleanupWord::Ttl)),
        _ => Err(PlanError::Field { field: "cleanup", expected: "one of keep, remove, ttl" }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(fields: Value) -> Result<KubernetesFields, PlanError> {
        let Value::Object(fields) = fields else { panic!("not an object") };
        KubernetesFields::read(&fields)
    }

    #[test]
    fn a_start_deadline_is_prefects_pod_watch_timeout_unless_that_is_its_default() {
        for (fields, expected) in [
            (json!({}), None),
            (json!({"pod_watch_timeout_seconds": 60}), None),
            (json!({"pod_watch_timeout_seconds": 0}), None),
            (json!({"pod_watch_timeout_seconds": 61}), Some(61)),
            (json!({"pod_watch_timeout_seconds": 61, "start_deadline_seconds": 60}), Some(60)),
        ] {
            let deadline = read(fields.clone()).ok().unwrap().start_deadline;
            assert_eq!(deadline, expected.map(Duration::from_secs), "{fields}");
        }
        assert!(read(json!({"start_deadline_seconds": 0})).is_err());
        assert!(read(json!({"image_pull_deadline_seconds": -1})).is_err());
    }

    #[test]
    fn a_pool_without_a_manifest_gets_that_of_the_template() {
        let fields = read(json!({"namespace": "ns", "annotations": {"a": "b"}})).ok().unwrap();
        let manifest = Value::Object(fields.job_manifest);
        assert_eq!(manifest["metadata"]["namespace"], "ns");
        assert_eq!(manifest["metadata"]["annotations"], json!({"a": "b"}));
        assert_eq!(manifest.pointer("/spec/backoffLimit"), None);
        assert!(!manifest.to_string().contains("{{"), "{manifest}");
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for fields in [
            json!({"job_manifest": []}),
            json!({"cluster_config": {"config": {}}}),
            json!({"cluster_config": {"config": 1, "context_name": "c"}}),
            json!({"cleanup": "never"}),
            json!({"annotations": {"a": 1}}),
        ] {
            assert!(read(fields.clone()).is_err(), "{fields}");
        }
        let fields = read(json!({"cluster_config": {"config": {"a": 1}, "context_name": "c"}, "namespace": ""}));
        let fields = fields.ok().unwrap();
        assert_eq!(fields.cluster_config.unwrap().context_name, "c");
        assert_eq!(fields.namespace, "default");
        assert!(fields.stream_output && !fields.ship_output);
    }
}

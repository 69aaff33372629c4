//! What is asked of the API server for a run. Pure.

use std::collections::BTreeSet;

use infra_contract::masking;
use k8s_openapi::api::batch::v1::Job;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use worker_core::spec::{Plan, RunSpec};

use crate::fields::{CleanupWord, ClusterConfigBlock, KubernetesFields};
use crate::manifest::secrets::{PlannedSecret, SharedSecret};
use crate::manifest::{self, Manifest, Removal};
use crate::marks::Marks;
use crate::plan_error::PlanError;
use crate::settings::{Cleanup, KubernetesSettings};

#[cfg(test)]
mod native_code_tests;
#[cfg(test)]
pub(crate) mod tests;

/// Where the environment of the flow's container is.
const ENV: &str = "/spec/template/spec/containers/0/env";

/// Everything that a launch needs. Holds secrets.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct KubernetesPlan {
    pub(crate) namespace: String,
    /// The Job's name.
    pub(crate) name: String,
    /// What is posted.
    pub(crate) job: Value,
    /// What is made before it and belongs to it.
    pub(crate) secret: Option<PlannedSecret>,
    /// What has to be there before it and belongs to the worker.
    pub(crate) shared_api_key: Option<SharedSecret>,
    pub(crate) cluster: Option<ClusterConfigBlock>,
    pub(crate) marks: Marks,
    /// What a person should know before the launch.
    pub(crate) warnings: Vec<String>,
}

impl KubernetesPlan {
    pub(crate) fn of(plan: &Plan) -> Result<Self, PlanError> {
        serde_json::from_value(plan.detail.clone()).map_err(PlanError::Unreadable)
    }
}

/// Plans a run. `default_image` is what runs where the configuration names no image.
pub(crate) fn make(settings: &KubernetesSettings, default_image: &str, spec: &RunSpec) -> Result<Plan, PlanError> {
    let fields = KubernetesFields::read(&spec.fields)?;
    let marks = |removal: Removal<'_>, cancels_itself: bool, has_secret: bool| Marks {
        key: spec.key,
        report_state: spec.report_state,
        cancels_itself,
        stream_output: fields.stream_output,
        ship_output: fields.ship_output,
        cleanup: cleanup(settings, fields.cleanup, removal),
        has_secret,
        image_pull_deadline: fields.image_pull_deadline.or(settings.image_pull_deadline),
        start_deadline: fields.start_deadline.or(settings.start_deadline),
        job_timeout: fields.job_watch_timeout,
    };
    let (manifest, marks) = manifest::make(settings, &fields, default_image, spec, marks)?;
    let shown = shown(&manifest, spec, &fields);
    let Manifest { namespace, name, job, secret, shared_api_key, requested, warnings } = manifest;
    let infra_name = format!("{namespace}:{name}");
    let cluster = fields.cluster_config;
    let plan = KubernetesPlan { namespace, name, job, secret, shared_api_key, cluster, marks, warnings };
    let detail = serde_json::to_value(plan).map_err(PlanError::Unreadable)?;
    Ok(Plan { key: spec.key, infra_name, shown, requested, detail })
}

/// What the worker does with the Job of a run that is over. After a time it is Kubernetes that removes it.
fn cleanup(settings: &KubernetesSettings, word: Option<CleanupWord>, mut removal: Removal<'_>) -> Cleanup {
    let wanted = match (word, settings.cleanup) {
        (Some(CleanupWord::Keep), _) => Cleanup::Keep,
        (Some(CleanupWord::Remove), _) => return Cleanup::Remove,
        (Some(CleanupWord::Ttl), Cleanup::Keep | Cleanup::Remove) => Cleanup::After(settings.cleanup_ttl),
        (Some(CleanupWord::Ttl) | None, default) => default,
    };
    match wanted {
        _ if removal.is_set() => Cleanup::Keep,
        Cleanup::After(time) => {
            removal.set(time.as_secs());
            Cleanup::Keep
        }
        Cleanup::Keep | Cleanup::Remove => wanted,
    }
}

fn shown(manifest: &Manifest, spec: &RunSpec, fields: &KubernetesFields) -> Value {
    let mut job = manifest.job.clone();
    let telling = manifest::telling_texts(spec, fields);
    if let Some(Value::Array(entries)) = job.pointer_mut(ENV) {
        for entry in entries {
            mask_variable(entry, &telling);
        }
    }
    mask_texts(&mut job, &telling.into_iter().filter(|text| !manifest::is_of_every_job(text)).collect::<Vec<_>>());
    json!({
        "namespace": manifest.namespace,
        "name": manifest.name,
        "job": job,
        "secret": manifest.secret.as_ref().map(|secret| json!({
            "name": secret.name,
            "variables": secret.variables.keys().collect::<Vec<_>>(),
        })),
        "shared_api_key_secret": manifest.shared_api_key.as_ref().map(|secret| &secret.name),
        "cluster_context": fields.cluster_config.as_ref().map(|cluster| &cluster.context_name),
        "warnings": manifest.warnings,
    })
}

/// A Job of the cluster, whoever made it, as a plan is shown. What it holds of blocks is not known, so names alone tell secrets.
pub(crate) fn shown_job(job: &Job) -> Option<Value> {
    let mut shown = serde_json::to_value(job).ok()?;
    if let Some(Value::Array(entries)) = shown.pointer_mut(ENV) {
        for entry in entries {
            mask_variable(entry, &BTreeSet::new());
        }
    }
    Some(json!({"namespace": job.metadata.namespace, "name": job.metadata.name, "job": shown}))
}

fn mask_variable(entry: &mut Value, telling: &BTreeSet<&str>) {
    let name = entry.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(Value::String(value)) = entry.get_mut("value") {
        *value = masking::without(masking::shown(&name, value), telling.iter().copied());
    }
}

fn mask_texts(value: &mut Value, secrets: &[&str]) {
    match value {
        Value::String(text) => *text = masking::without(text, secrets.iter().copied()),
        Value::Array(items) => items.iter_mut().for_each(|item| mask_texts(item, secrets)),
        Value::Object(fields) => fields.values_mut().for_each(|value| mask_texts(value, secrets)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

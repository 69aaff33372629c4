//! What a Job asks for, as far as a policy may restrict it. Read from the finished manifest, so that no job variable and no field
//! of a custom manifest is a way around it: every container of the pod counts.

mod confinement;
mod containers;
mod limits;
mod quantity;
#[cfg(test)]
mod tests;
mod volumes;

use std::collections::BTreeSet;

use infra_contract::masking;
use serde_json::{Map, Value};
use worker_core::policy::Requested;

use crate::fields::KubernetesFields;

/// The service account of pods that name none.
const DEFAULT_ACCOUNT: &str = "default";

/// What a manifest asks for that holds nothing yet of what the worker adds. The environment of the flow's container is not in
/// it.
pub(crate) fn of_job(job: &Map<String, Value>) -> Requested {
    let nothing = Value::Null;
    let job_spec = job.get("spec").unwrap_or(&nothing);
    let template = job_spec.get("template").unwrap_or(&nothing);
    let pod = template.get("spec").unwrap_or(&nothing);
    let mut requested = Requested::default();
    for (index, container) in items(pod, "containers").enumerate() {
        containers::read(container, index == 0, &mut requested);
    }
    for list in ["initContainers", "ephemeralContainers"] {
        items(pod, list).for_each(|container| containers::read(container, false, &mut requested));
    }
    items(pod, "volumes").for_each(|volume| volumes::read(volume, &mut requested));
    confinement::of_pod(pod, &mut requested.privileges);
    confinement::of_annotations(template.pointer("/metadata/annotations"), &mut requested.privileges);
    let account = ["serviceAccountName", "serviceAccount"].into_iter().find_map(|key| text(pod, key));
    requested.service_accounts.insert(account.unwrap_or(DEFAULT_ACCOUNT).to_owned());
    limits::read(job_spec, pod, &mut requested);
    requested
}

/// Adds what the rest of the configuration asks for: where the values of variables come from, another cluster, and how long the
/// worker watches.
pub(crate) fn of_run(requested: &mut Requested, sources_of_variables: &[&Value], fields: &KubernetesFields) {
    for from in sources_of_variables {
        volumes::of_variable(from, requested);
    }
    requested
        .privileges
        .extend(fields.cluster_config.as_ref().map(|cluster| format!("cluster:{}", cluster.context_name)));
    let watched = fields.job_watch_timeout.map(|timeout| timeout.as_secs());
    requested.run_time_seconds = requested.run_time_seconds.into_iter().chain(watched).min();
}

/// Takes the texts of blocks out of commands.
pub(crate) fn mask_commands(requested: &mut Requested, telling: &BTreeSet<&str>) {
    let masked = requested.commands.iter().map(|command| masking::without(command, telling.iter().copied()));
    requested.commands = masked.collect();
}

fn items<'v>(of: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    of.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn text<'v>(of: &'v Value, key: &str) -> Option<&'v str> {
    of.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// Whether something is said: what the API server would refuse counts too.
fn is_set(of: &Value, key: &str) -> bool {
    !matches!(of.get(key), None | Some(Value::Null | Value::Bool(false)))
}

/// A text or a number as it is.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

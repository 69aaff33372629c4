//! What a Job may use at most.

use serde_json::Value;
use worker_core::policy::Requested;

use super::{items, quantity, text};

/// A resource that nothing limits is absent: what a namespace would give is not known here.
pub(super) fn read(job_spec: &Value, pod: &Value, requested: &mut Requested) {
    let pods = job_spec.get("parallelism").and_then(Value::as_u64).unwrap_or(1).max(1);
    let of_all = |resource: &str| of_pod(pod, resource).map(|thousandths| thousandths.saturating_mul(pods));
    requested.cpu_millis = of_all("cpu");
    requested.memory_bytes = of_all("memory").map(|thousandths| thousandths / 1000);
    let deadline = |of: &Value| of.get("activeDeadlineSeconds").and_then(Value::as_u64);
    requested.run_time_seconds = deadline(job_spec).into_iter().chain(deadline(pod)).min();
}

/// The limit of the pod, if it has one; else what its containers may use together. Init containers run before the others, one by
/// one, unless they are sidecars.
fn of_pod(pod: &Value, resource: &str) -> Option<u64> {
    if let Some(limit) = limit(pod, resource) {
        return Some(limit);
    }
    let is_sidecar = |container: &&Value| text(container, "restartPolicy") == Some("Always");
    let (sidecars, before): (Vec<&Value>, Vec<&Value>) = items(pod, "initContainers").partition(is_sidecar);
    let together = items(pod, "containers").chain(sidecars.iter().copied());
    let together = together.map(|container| limit(container, resource)).sum::<Option<u64>>()?;
    let of_sidecars = sidecars.iter().map(|container| limit(container, resource)).sum::<Option<u64>>()?;
    let before = before.iter().map(|container| limit(container, resource)).collect::<Option<Vec<_>>>()?;
    let greatest = before.into_iter().max().unwrap_or(0).saturating_add(of_sidecars);
    Some(together.max(greatest))
}

fn limit(of: &Value, resource: &str) -> Option<u64> {
    quantity::thousandths(of.pointer(&format!("/resources/limits/{resource}"))?)
}

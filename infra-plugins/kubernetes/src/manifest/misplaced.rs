//! What Prefect's manifests hold and strict API servers refuse.

use serde_json::{Map, Value};

use super::parts;
use crate::plan_error::PlanError;

/// Moves `parallelism` and `completions` from the pod to the Job, where they belong, and drops quantities that say nothing.
pub(crate) fn correct(job: &mut Map<String, Value>) -> Result<(), PlanError> {
    let pod = parts::pod_spec(job)?;
    let counts: Vec<_> =
        ["parallelism", "completions"].into_iter().filter_map(|count| Some((count, pod.remove(count)?))).collect();
    for list in ["containers", "initContainers"] {
        for container in pod.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            drop_empty_quantities(container);
        }
    }
    let spec = parts::job_spec(job)?;
    for (count, value) in counts {
        spec.entry(count).or_insert(value);
    }
    Ok(())
}

fn drop_empty_quantities(container: &mut Value) {
    for part in ["limits", "requests"] {
        if let Some(Value::Object(quantities)) = container.pointer_mut(&format!("/resources/{part}")) {
            quantities.retain(|_, quantity| !quantity.is_null() && quantity.as_str() != Some(""));
        }
    }
}

/// Whether more than one pod would execute the run.
pub(crate) fn executes_often(job: &Map<String, Value>) -> bool {
    let more = |count: &str| job.get("spec")?.get(count)?.as_i64().filter(|count| *count > 1);
    more("parallelism").or_else(|| more("completions")).is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn counts_move_up_and_empty_quantities_go() {
        let mut job = json!({"spec": {"completions": 5, "template": {"spec": {
            "completions": 1, "parallelism": 1, "restartPolicy": "Never",
            "containers": [{"resources": {"limits": {"cpu": "", "memory": "1Gi"}, "requests": {"cpu": null}}}, {}],
        }}}});
        correct(job.as_object_mut().unwrap()).unwrap();
        assert_eq!(
            job,
            json!({"spec": {"completions": 5, "parallelism": 1, "template": {"spec": {
                "restartPolicy": "Never",
                "containers": [{"resources": {"limits": {"memory": "1Gi"}, "requests": {}}}, {}],
            }}}})
        );
        assert!(executes_often(job.as_object().unwrap()));
        assert!(!executes_often(json!({"spec": {"completions": 1}}).as_object().unwrap()));
    }
}

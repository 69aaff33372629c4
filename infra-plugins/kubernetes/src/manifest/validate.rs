//! Whether a manifest is one that a flow can run in, as Prefect checks it: it must hold the base manifest.

use serde_json::{Map, Value, json};
use worker_core::template::python_str;

use crate::plan_error::PlanError;

/// Where the base manifest has them. They belong one level higher, where a user may have put them.
const POD_SPEC: &str = "/spec/template/spec";
const COUNTS: [&str; 2] = ["parallelism", "completions"];

/// What every manifest must hold.
fn base_manifest() -> Value {
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": { "labels": {}, "annotations": {} },
        "spec": { "template": { "spec": {
            "parallelism": 1,
            "completions": 1,
            "restartPolicy": "Never",
            "containers": [{ "name": "prefect-job" }],
        } } },
    })
}

/// Adds the metadata that a manifest may leave out, and checks the rest.
pub(crate) fn complete(manifest: &mut Map<String, Value>, namespace: &str) -> Result<(), PlanError> {
    let metadata = manifest.entry("metadata").or_insert_with(|| json!({}));
    if let Value::Object(metadata) = metadata {
        for part in ["annotations", "labels"] {
            let part = metadata.entry(part).or_insert_with(|| json!({}));
            if part.is_null() {
                *part = json!({});
            }
        }
        metadata.entry("namespace").or_insert_with(|| Value::from(namespace));
    }
    let mut found = Differences::default();
    compare(&base_manifest(), &with_counts_below(manifest), "", &mut found);
    found.missing.sort();
    found.incompatible.sort();
    if !found.missing.is_empty() {
        return Err(PlanError::Missing(found.missing));
    }
    if !found.incompatible.is_empty() {
        return Err(PlanError::Incompatible(found.incompatible));
    }
    Ok(())
}

/// The manifest with `parallelism` and `completions` where the base manifest has them, if they are where they belong.
fn with_counts_below(manifest: &Map<String, Value>) -> Value {
    let mut manifest = Value::Object(manifest.clone());
    for count in COUNTS {
        let above = manifest.pointer(&format!("/spec/{count}")).cloned();
        if let Some(above) = above
            && let Some(Value::Object(pod)) = manifest.pointer_mut(POD_SPEC)
        {
            pod.entry(count).or_insert(above);
        }
    }
    manifest
}

#[derive(Default)]
struct Differences {
    missing: Vec<String>,
    incompatible: Vec<String>,
}

fn compare(base: &Value, found: &Value, path: &str, differences: &mut Differences) {
    let mut inside = |key: &str, base: &Value, found: Option<&Value>| {
        let path = format!("{path}/{key}");
        match found {
            Some(found) => compare(base, found, &path, differences),
            None => differences.missing.push(path),
        }
    };
    match (base, found) {
        (Value::Object(base), Value::Object(found)) => {
            base.iter().for_each(|(key, base)| inside(key, base, found.get(key)));
        }
        (Value::Array(base), Value::Array(found)) => {
            base.iter().enumerate().for_each(|(place, base)| inside(&place.to_string(), base, found.get(place)));
        }
        _ if base == found => {}
        _ => differences.incompatible.push(format!("{path} must have value {}", shown(base))),
    }
}

/// As Python shows it.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| python_str(value), |text| format!("'{text}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(change: impl FnOnce(&mut Value)) -> String {
        let mut manifest = base_manifest();
        change(&mut manifest);
        complete(manifest.as_object_mut().unwrap(), "ns").err().map(|error| error.to_string()).unwrap_or_default()
    }

    fn pod(manifest: &mut Value) -> &mut Map<String, Value> {
        manifest["spec"]["template"]["spec"].as_object_mut().unwrap()
    }

    #[test]
    fn c102_what_is_missing_is_named_by_its_path() {
        let missing = "Job is missing required attributes at the following paths: ";
        let without_name = message(|job| pod(job)["containers"] = json!([{"image": "x"}]));
        assert_eq!(without_name, format!("{missing}/spec/template/spec/containers/0/name"));
        let without_count = message(|job| drop(pod(job).remove("parallelism")));
        assert_eq!(without_count, format!("{missing}/spec/template/spec/parallelism"));
        assert_eq!(
            message(|job| pod(job)["containers"] = json!([])),
            format!("{missing}/spec/template/spec/containers/0")
        );
        let several = message(|job| {
            job.as_object_mut().unwrap().remove("kind");
            job.as_object_mut().unwrap().remove("apiVersion");
        });
        assert_eq!(several, format!("{missing}/apiVersion, /kind"));
    }

    #[test]
    fn c102_what_is_incompatible_is_named_with_the_value_it_must_have() {
        let incompatible = "Job has incompatible values for the following attributes: ";
        for (change, expected) in [
            (("restartPolicy", json!("OnFailure")), "/spec/template/spec/restartPolicy must have value 'Never'"),
            (("parallelism", json!(2)), "/spec/template/spec/parallelism must have value 1"),
            (
                ("containers", json!([{"name": "sidecar"}, {"name": "prefect-job"}])),
                "/spec/template/spec/containers/0/name must have value 'prefect-job'",
            ),
            (("containers", json!("x")), "/spec/template/spec/containers must have value [{'name': 'prefect-job'}]"),
        ] {
            let (key, value) = change;
            let message = message(|job| pod(job)[key] = value);
            assert_eq!(message, format!("{incompatible}{expected}"));
        }
    }

    #[test]
    fn c102_more_than_the_base_is_allowed() {
        let more = message(|job| {
            job["metadata"]["finalizers"] = json!(["x"]);
            pod(job)["containers"].as_array_mut().unwrap().push(json!({"name": "sidecar"}));
        });
        assert_eq!(more, "");
    }

    #[test]
    fn counts_where_they_belong_are_present() {
        let moved = |count: i64| {
            message(move |job| {
                for name in COUNTS {
                    pod(job).remove(name);
                    job["spec"][name] = json!(count);
                }
            })
        };
        assert_eq!(moved(1), "");
        assert!(moved(2).contains("/spec/template/spec/parallelism must have value 1"), "{}", moved(2));
    }

    #[test]
    fn metadata_is_added_where_a_manifest_has_none() {
        let mut manifest = base_manifest();
        manifest.as_object_mut().unwrap().remove("metadata");
        complete(manifest.as_object_mut().unwrap(), "ns").unwrap();
        assert_eq!(manifest["metadata"], json!({"annotations": {}, "labels": {}, "namespace": "ns"}));
    }
}

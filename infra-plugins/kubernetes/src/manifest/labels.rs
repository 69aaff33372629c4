//! Labels and annotations.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use worker_core::job_configuration::labels;

use super::slug;

/// Labels that Kubernetes' own conventions ask for.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const PART_OF: &str = "app.kubernetes.io/part-of";
const VERSION: &str = "app.kubernetes.io/version";
const NAME: &str = "app.kubernetes.io/name";
const PREFECT: &str = "prefect";

/// All labels of a run, as Kubernetes allows them.
pub(crate) fn of_run(run: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let public_version = |version: &str| version.split('+').next().unwrap_or_default().to_owned();
    let named_by = run.get(labels::DEPLOYMENT_NAME).or_else(|| run.get(labels::FLOW_NAME));
    let version = run.get(labels::VERSION).map(|version| public_version(version));
    let mut all =
        BTreeMap::from([(MANAGED_BY.to_owned(), PREFECT.to_owned()), (PART_OF.to_owned(), PREFECT.to_owned())]);
    all.extend(version.clone().map(|version| (VERSION.to_owned(), version)));
    all.extend(named_by.map(|name| (NAME.to_owned(), name.clone())));
    all.extend(run.clone());
    all.extend(version.map(|version| (labels::VERSION.to_owned(), version)));
    all.iter().filter_map(|(key, value)| Some((slug::key(key)?, slug::value(value)))).collect()
}

/// Labels that belong to what is made besides the Job.
pub(crate) fn managed_by() -> (String, String) {
    (MANAGED_BY.to_owned(), PREFECT.to_owned())
}

/// Labels of a manifest made valid, with those of the run over them.
pub(crate) fn merge_labels(of_manifest: &mut Map<String, Value>, of_run: &BTreeMap<String, String>) {
    let slugged = |(key, value): (&String, &Value)| Some((slug::key(key)?, Value::from(slug::value(&text(value)))));
    let mut merged: Map<String, Value> = of_manifest.iter().filter_map(slugged).collect();
    merged.extend(of_run.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))));
    *of_manifest = merged;
}

/// Annotations of a manifest, with those of the run over them. Their values may hold anything.
pub(crate) fn merge_annotations(of_manifest: &mut Map<String, Value>, of_run: &BTreeMap<String, String>) {
    let texts = of_manifest.iter().map(|(key, value)| (key, text(value)));
    let all = texts.chain(of_run.iter().map(|(key, value)| (key, value.clone())));
    *of_manifest = all.filter_map(|(key, value)| Some((slug::key(key)?, Value::from(value)))).collect();
}

/// Annotations of a manifest that have been merged.
pub(crate) fn annotations_of(metadata: &Map<String, Value>) -> BTreeMap<String, String> {
    let annotations = metadata.get("annotations").and_then(Value::as_object).into_iter().flatten();
    annotations.map(|(key, value)| (key.clone(), text(value))).collect()
}

/// What is no text is written as it stands in the manifest: `true`.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn c105_runs_get_the_labels_of_kubernetes_conventions() {
        let labels = of_run(&map(&[
            ("prefect.io/version", "3.8.0+3.g1a2b"),
            ("prefect.io/flow-name", "My Flow"),
            ("prefect.io/deployment-name", "Every Day"),
        ]));
        assert_eq!(
            json!(labels),
            json!({
                "app.kubernetes.io/managed-by": "prefect",
                "app.kubernetes.io/name": "Every-Day",
                "app.kubernetes.io/part-of": "prefect",
                "app.kubernetes.io/version": "3.8.0",
                "prefect.io/deployment-name": "Every-Day",
                "prefect.io/flow-name": "My-Flow",
                "prefect.io/version": "3.8.0",
            })
        );
        let labels = of_run(&map(&[("prefect.io/flow-name", "f"), ("app.kubernetes.io/part-of", "mine")]));
        assert_eq!(labels["app.kubernetes.io/name"], "f", "without a deployment");
        assert_eq!(labels["app.kubernetes.io/part-of"], "mine", "users' labels win");
    }

    #[test]
    fn c104_annotations_keep_their_values_and_manifests_theirs() {
        let mut annotations = json!({"x y": "old", "mine": "a: {b}", "scrape": true});
        merge_annotations(annotations.as_object_mut().unwrap(), &map(&[("x y", "raw v!")]));
        assert_eq!(annotations, json!({"x-y": "raw v!", "mine": "a: {b}", "scrape": "true"}));

        let mut labels = json!({"team": "x", "odd key": "odd value", "n": 1});
        merge_labels(labels.as_object_mut().unwrap(), &map(&[("team", "run")]));
        assert_eq!(labels, json!({"team": "run", "odd-key": "odd-value", "n": "1"}));
    }
}

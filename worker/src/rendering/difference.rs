//! What differs between what would be launched and what is there. Pure.

use serde::Serialize;
use serde_json::{Map, Value};

/// What stands in the place of a secret: what is behind it is not compared.
const MASK: &str = "***";

/// What a plan of the process kind shows where a run has no directory of its own.
const TEMPORARY: &str = "(a temporary directory)";

/// Something that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Difference {
    /// Where, with dots.
    pub(crate) path: String,
    /// What would be launched; null if there would be nothing.
    pub(crate) ours: Value,
    /// What is there; null if there is nothing.
    pub(crate) theirs: Value,
}

/// Objects of names and values in which also counts what only the other side has. Of other objects the backend fills in much
/// that nobody asked for.
const NAMED: [&str; 4] = ["Env", "env", "Labels", "labels"];

/// What differs from one launch to the next, or says who launched it.
const OF_A_LAUNCH: [&str; 11] = [
    // Whether the program that made a container listened to it.
    "AttachStdout",
    "AttachStderr",
    "WORKER_LAUNCH_KEY",
    // Where the worker has put the code; another worker's flow finds it by itself.
    "PREFECT__FLOW_ENTRYPOINT",
    "PREFECT__WORKER_NAME",
    "PREFECT__WORKER_ID",
    "prefect.io/worker-name",
    "io.prefect.worker-name",
    "job-name",
    "controller-uid",
    "generateName",
];
/// Names of which the rest is of a launch, or a mark of this worker.
const MARKS: [&str; 5] =
    ["worker.prefect.io/", "io.prefect.worker.", "batch.kubernetes.io/", "prefect.io/version", "io.prefect.version"];

/// What differs. `ours` is a plan as it is shown, `theirs` what a plugin has seen.
pub(crate) fn differences(ours: &Value, theirs: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    let (ours, theirs) = (by_name(ours), by_name(theirs));
    let secrets = secret_names(&ours);
    compare("", &ours, &theirs, &mut found);
    // Secrets of ours do not stand where plain variables do.
    found.retain(|difference| !secrets.iter().any(|name| difference.path.ends_with(&format!(".{name}"))));
    found
}

fn compare(path: &str, ours: &Value, theirs: &Value, found: &mut Vec<Difference>) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => compare_objects(path, ours, theirs, found),
        (Value::Array(ones), Value::Array(others)) if ones.len() == others.len() => {
            for (place, (one, other)) in ones.iter().zip(others).enumerate() {
                compare(&below(path, &place.to_string()), one, other, found);
            }
        }
        _ if says_the_same(ours, theirs) || (path == "working_dir" && are_checkouts(ours, theirs)) => {}
        _ => found.push(Difference { path: path.to_owned(), ours: ours.clone(), theirs: theirs.clone() }),
    }
}

fn compare_objects(path: &str, ours: &Map<String, Value>, theirs: &Map<String, Value>, found: &mut Vec<Difference>) {
    // What is beside them at the top is about the launch and not a part of it.
    let is_top = path.is_empty();
    let about = |key: &str| {
        is_top
            && !["command", "working_dir", "env_on_top_of_the_workers", "container", "job", "namespace"].contains(&key)
    };
    for (key, value) in ours.iter().filter(|(key, _)| !is_of_a_launch(key) && !about(key)) {
        // Jobs are named by whoever makes them.
        if path == "job.metadata" && key == "name" {
            continue;
        }
        compare(&below(path, key), value, theirs.get(key).unwrap_or(&Value::Null), found);
    }
    if NAMED.iter().any(|named| path.rsplit('.').next() == Some(named)) {
        for (key, value) in theirs.iter().filter(|(key, _)| !ours.contains_key(*key) && !is_of_a_launch(key)) {
            found.push(Difference { path: below(path, key), ours: Value::Null, theirs: value.clone() });
        }
    }
}

fn is_of_a_launch(key: &str) -> bool {
    OF_A_LAUNCH.contains(&key) || MARKS.iter().any(|mark| key.starts_with(mark))
}

/// Directories that were made for the run: only where in the code they lead counts.
fn are_checkouts(ours: &Value, theirs: &Value) -> bool {
    let (Some(ours), Some(theirs)) = (ours.as_str(), theirs.as_str()) else { return false };
    let within = ours.split_once("-code/").map(|(_, within)| format!("/{within}"));
    ours == TEMPORARY || within.is_some_and(|within| theirs.ends_with(&within))
}

/// Nothing, false and empty are the same to backends; a value behind a mask may be the same.
fn says_the_same(ours: &Value, theirs: &Value) -> bool {
    let masked = |value: &Value| value.as_str().is_some_and(|text| text.contains(MASK));
    ours == theirs || (says_nothing(ours) && says_nothing(theirs)) || (masked(ours) && !theirs.is_null())
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.iter().all(says_nothing),
        Value::Object(fields) => fields.values().all(says_nothing),
    }
}

/// Lists of variables as objects: their order does not count.
fn by_name(value: &Value) -> Value {
    match value {
        Value::Array(items) => variables(items).unwrap_or_else(|| items.iter().map(by_name).collect()),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| match (key.as_str(), value) {
                ("Env", Value::Array(items)) => (key.clone(), entries(items)),
                _ => (key.clone(), by_name(value)),
            });
            Value::Object(fields.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// `NAME=value`, as containers have them.
fn entries(items: &[Value]) -> Value {
    let entry = |item: &Value| {
        let (name, value) = item.as_str()?.split_once('=')?;
        Some((name.to_owned(), Value::from(value)))
    };
    Value::Object(items.iter().filter_map(entry).collect())
}

/// Objects with a name and a value, as pods have them.
fn variables(items: &[Value]) -> Option<Value> {
    let variable = |item: &Value| {
        let fields = item.as_object()?;
        let name = fields.get("name")?.as_str()?.to_owned();
        let value = fields.get("value").or_else(|| fields.get("valueFrom"));
        let is_plain = fields.keys().all(|key| ["name", "value", "valueFrom"].contains(&key.as_str()));
        is_plain.then(|| (name, value.cloned().unwrap_or_default()))
    };
    let named: Option<Map<String, Value>> = items.iter().map(variable).collect();
    named.filter(|named| !named.is_empty()).map(Value::Object)
}

/// The variables that a plan hands over apart from the others.
fn secret_names(plan: &Value) -> Vec<String> {
    let of_docker = plan.get("secret_variables");
    let of_kubernetes = plan.get("secret").and_then(|secret| secret.get("variables"));
    let names = of_docker.or(of_kubernetes).and_then(Value::as_array);
    names.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths(ours: &Value, theirs: &Value) -> Vec<String> {
        differences(ours, theirs).into_iter().map(|difference| difference.path).collect()
    }

    #[test]
    fn containers_are_compared_by_what_was_asked_for() {
        let ours = json!({
            "name": "mine", "image_pull_policy": "Always", "secret_variables": ["API_KEY"], "warnings": [],
            "container": {
                "Image": "x:1", "Env": ["B=2", "A=1", "T=***"], "AttachStdout": true,
                "Labels": {"io.prefect.worker.owner": "me", "io.prefect.flow-run-id": "r"},
                "HostConfig": {"Memory": 5, "Privileged": null},
            },
        });
        let theirs = json!({
            "name": "theirs",
            "container": {
                "Image": "x:2", "Env": ["A=1", "B=2", "T=hush", "API_KEY=***", "C=3", "PREFECT__WORKER_NAME=w"],
                "AttachStdout": true, "Labels": {"io.prefect.flow-run-id": "r", "extra": "1"},
                "HostConfig": {"Memory": 6, "Privileged": false, "ShmSize": 1},
            },
        });
        let expected = ["container.Image", "container.Env.C", "container.Labels.extra", "container.HostConfig.Memory"];
        assert_eq!(paths(&ours, &theirs), expected);
        assert_eq!(paths(&ours, &ours), Vec::<String>::new());
    }

    #[test]
    fn jobs_are_compared_with_their_variables_by_name() {
        let job = |env: Value, name: &str| {
            json!({"namespace": "n", "name": name, "job": {
                "metadata": {"name": name, "labels": {"worker.prefect.io/run": name}},
                "spec": {"template": {"spec": {"containers": [{"name": "prefect-job", "env": env}]}}},
            }})
        };
        let ours = job(json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]), "ours");
        let theirs = job(json!([{"name": "B", "value": "3"}, {"name": "A", "value": "1"}, {"name": "C"}]), "theirs");
        let at = "job.spec.template.spec.containers.0.env";
        assert_eq!(paths(&ours, &theirs), [format!("{at}.B"), format!("{at}.C")]);
    }

    #[test]
    fn of_a_process_only_what_would_be_set_is_compared() {
        let ours = json!({
            "command": "python -m prefect.engine", "working_dir": "/state/runs/r-1-code/repo-main",
            "env_on_top_of_the_workers": {"A": "1", "K": "***", "WORKER_LAUNCH_KEY": "***"},
        });
        let theirs = json!({"command": "prefect flow-run execute", "working_dir": "/tmp/tmpaprefect/repo-main", "env_on_top_of_the_workers": {"A": "1", "K": "***", "Z": "1"}});
        assert_eq!(paths(&ours, &theirs), ["command"]);
        let elsewhere = json!({"command": "python -m prefect.engine", "working_dir": "/srv", "env_on_top_of_the_workers": {"A": "1", "K": "x"}});
        assert_eq!(paths(&ours, &elsewhere), ["working_dir"]);
    }
}

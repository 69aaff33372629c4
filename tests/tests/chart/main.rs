//! The Helm chart: what it makes of values, what it refuses, and whether Kubernetes and the worker take it.
//!
//! The values files are those of `deploy/helm/worker/ci`. A snapshot holds all of what each of them becomes; after a wanted
//! change: `INSTA_UPDATE=always cargo nextest run -p worker-tests --test chart`, and read the difference.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod api_server;
mod documentation;
mod pods;
mod prefect_worker;
mod refusals;
mod rendering;
mod rights;
mod scaling;
mod settings;

use serde_json::{Value, json};
use worker_tests::harness::{Chart, Rendered};

/// A release in namespace `ops`.
fn chart() -> Chart {
    Chart::in_namespace("ops")
}

/// A release with the values of a file.
async fn of_file(name: &str) -> Rendered {
    chart().render(&Chart::values(name).await).await.unwrap_or_else(|refusal| unreachable!("{name}: {refusal}"))
}

/// The least for a server of one's own, with changes over it.
fn values(changes: &Value) -> Value {
    let mut values = json!({"worker": {
        "config": {"workPool": "jobs"},
        "apiConfig": "selfHostedServer",
        "selfHostedServerApiConfig": {"apiUrl": "http://server:4200/api"},
    }});
    merge(&mut values, changes);
    values
}

fn merge(into: &mut Value, changes: &Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (key, change) in changes {
                merge(into.entry(key.clone()).or_insert(Value::Null), change);
            }
        }
        (into, changes) => *into = changes.clone(),
    }
}

/// A release with the least values and these changes.
async fn with(changes: Value) -> Rendered {
    chart().render(&values(&changes)).await.unwrap_or_else(|refusal| unreachable!("{changes}: {refusal}"))
}

/// A variable of a container.
fn variable<'v>(container: &'v Value, name: &str) -> Option<&'v Value> {
    container["env"].as_array()?.iter().rfind(|variable| variable["name"] == name)
}

/// The text of a variable, which it must have.
fn text_of<'v>(container: &'v Value, name: &str) -> &'v str {
    variable(container, name).and_then(|variable| variable["value"].as_str()).unwrap_or_default()
}

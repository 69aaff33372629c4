//! The Roles of the chart are those that the worker itself prints.

use serde_json::{Value, json};
use worker_tests::harness::{Chart, DaemonSpec, Rendered};

use super::{of_file, with};

/// What `worker kubernetes rbac` prints.
async fn printed(arguments: &str) -> Vec<Value> {
    let rbac = DaemonSpec::bare().args(["kubernetes", "rbac", "--service-account", "ops/prefect-worker"]);
    let ended = rbac.args(arguments.split_whitespace()).finish().await;
    assert!(ended.status.success(), "{}", ended.stderr);
    Chart::read_yaml(&ended.stdout).await
}

/// Roles and bindings without what differs in form: labels, and quantities of the chart's own.
fn essence<'o>(objects: impl IntoIterator<Item = &'o Value>) -> Vec<Value> {
    let mut all: Vec<Value> = objects
        .into_iter()
        .filter(|object| object["kind"].as_str().is_some_and(|kind| kind.contains("Role")))
        .map(|object| {
            let (name, namespace) = (&object["metadata"]["name"], &object["metadata"]["namespace"]);
            let head = json!({"kind": object["kind"], "name": name, "namespace": namespace});
            json!([head, object["rules"], object["roleRef"], object["subjects"]])
        })
        .collect();
    all.sort_by_key(Value::to_string);
    all
}

async fn are_what_is_printed(rendered: Rendered, arguments: &str) {
    assert_eq!(essence(&rendered.objects), essence(&printed(arguments).await), "{arguments}");
}

#[tokio::test]
async fn a_release_may_do_what_the_worker_says_it_needs() {
    are_what_is_printed(with(json!({})).await, "-n ops").await;
    let without = json!({"worker": {"settings": {"kubernetes": {"secrets": "environment"}}}});
    are_what_is_printed(with(without).await, "-n ops --without-secrets").await;
    are_what_is_printed(with(json!({"role": {"secrets": false}})).await, "-n ops --without-secrets").await;
    let several = json!({"role": {"namespaces": ["flows", "more", "flows"]}});
    are_what_is_printed(with(several).await, "-n flows -n more").await;
}

#[tokio::test]
async fn the_cluster_is_read_or_changed_only_when_asked_for() {
    let watching = json!({"clusterRole": {"create": true}});
    are_what_is_printed(with(watching).await, "-n ops --cluster-wide").await;
    are_what_is_printed(of_file("cluster-wide").await, "--cluster-wide").await;
}

#[tokio::test]
async fn secrets_that_the_worker_keeps_itself_need_rights_on_secrets() {
    let rendered = of_file("cloud-auto-secret").await;
    let rules = &rendered.of_kind("Role")[0]["rules"];
    assert!(rules.as_array().unwrap().iter().any(|rule| rule["resources"] == json!(["secrets"])), "{rules}");
}

#[tokio::test]
async fn further_permissions_are_added_in_each_namespace() {
    let rendered = of_file("namespaces").await;
    let roles = rendered.of_kind("Role");
    assert_eq!(roles.len(), 2);
    for role in roles {
        assert_eq!(role["rules"].as_array().unwrap().last().unwrap()["resources"], json!(["configmaps"]));
    }
    let subject = &rendered.of_kind("RoleBinding")[1]["subjects"][0];
    assert_eq!((subject["name"].as_str(), subject["namespace"].as_str()), (Some("flow-starter"), Some("ops")));
}

#[tokio::test]
async fn the_notes_warn_of_what_is_watched_without_rights() {
    let warning = "WARNING: worker.config.jobNamespace has namespace \"flows\"";
    let watched = json!({"worker": {"config": {"jobNamespace": "ops, flows"}}});
    assert!(with(watched.clone()).await.notes.contains(warning));
    for rights in [json!({"role": {"namespaces": ["ops", "flows"]}}), json!({"clusterRole": {"create": true}})] {
        let mut changes = watched.clone();
        changes.as_object_mut().unwrap().extend(rights.as_object().unwrap().clone());
        let notes = with(changes).await.notes;
        assert!(!notes.contains("WARNING: worker.config.jobNamespace"), "{notes}");
    }
}

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kubernetes_api::{Api, PodState};
use serde_json::json;

use crate::{create, jobs, pods, status};

async fn running() -> (Api, String) {
    let api = Api::start().await;
    create(&api, "a").await;
    let pod = api.pod_of("a").await;
    api.set_pod(&pod, &PodState::Running);
    (api, pod)
}

fn deleting(api: &Api, resource: &str, name: &str) -> bool {
    api.get(resource, name).unwrap().pointer("/metadata/deletionTimestamp").is_some()
}

#[tokio::test]
async fn foreground_deletion_waits_for_the_pods() {
    let (api, pod) = running().await;
    let answer = jobs(&api).delete("a", &DeleteParams::foreground()).await.unwrap();
    assert!(answer.left().unwrap().metadata.finalizers.unwrap().contains(&"foregroundDeletion".to_owned()));
    assert!(deleting(&api, "jobs", "a") && deleting(&api, "pods", &pod));
    api.delete_pod_object(&pod);
    assert!(api.get("jobs", "a").is_none());
    assert!(api.list("pods").is_empty());
}

#[tokio::test]
async fn background_deletion_takes_the_pods_afterwards() {
    let (api, pod) = running().await;
    assert!(jobs(&api).delete("a", &DeleteParams::background()).await.unwrap().is_right());
    assert!(api.get("jobs", "a").is_none());
    assert!(deleting(&api, "pods", &pod));
}

#[tokio::test]
async fn without_a_word_pods_are_orphaned() {
    let (api, pod) = running().await;
    assert!(jobs(&api).delete("a", &DeleteParams::default()).await.unwrap().is_right());
    assert!(!deleting(&api, "pods", &pod));
}

#[tokio::test]
async fn a_pod_has_its_grace() {
    let (api, pod) = running().await;
    pods(&api).delete(&pod, &DeleteParams::default()).await.unwrap();
    assert_eq!(api.get("pods", &pod).unwrap()["metadata"]["deletionGracePeriodSeconds"], 30);
    pods(&api).delete(&pod, &DeleteParams::default().grace_period(0)).await.unwrap();
    assert!(api.get("pods", &pod).is_none());
    assert!(status(pods(&api).delete(&pod, &DeleteParams::default()).await.unwrap_err()).is_not_found());
}

#[tokio::test]
async fn a_pod_that_never_had_a_node_goes_at_once() {
    let api = Api::start().await;
    create(&api, "a").await;
    let pod = api.pod_of("a").await;
    pods(&api).delete(&pod, &DeleteParams::default()).await.unwrap();
    assert!(api.get("pods", &pod).is_none());
}

#[tokio::test]
async fn the_kubelet_obeys_a_deletion() {
    let (api, _) = running().await;
    jobs(&api).delete("a", &DeleteParams::foreground()).await.unwrap();
    api.auto_kubelet(Some(Duration::ZERO));
    api.until("the job is gone", |api| api.get("jobs", "a").is_none().then_some(())).await;
}

#[tokio::test]
async fn another_uid_is_a_conflict() {
    let (api, _) = running().await;
    let wanted = Preconditions { uid: Some("other".to_owned()), resource_version: None };
    let refused = jobs(&api).delete("a", &DeleteParams::background().preconditions(wanted)).await;
    assert_eq!(status(refused.unwrap_err()).code, 409);
    assert!(api.get("jobs", "a").is_some());
}

#[tokio::test]
async fn what_a_job_owns_goes_with_it() {
    let (api, _) = running().await;
    let uid = api.get("jobs", "a").unwrap()["metadata"]["uid"].clone();
    let owner = json!({"apiVersion": "batch/v1", "kind": "Job", "name": "a", "uid": uid});
    let secret = json!({"metadata": {"name": "key", "ownerReferences": [owner]}, "stringData": {"a": "x"}});
    let secrets: kube::Api<Secret> = kube::Api::namespaced(api.client(), "default");
    let made = secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    assert_eq!(made.data.unwrap()["a"].0, b"x");
    jobs(&api).delete("a", &DeleteParams::background()).await.unwrap();
    assert!(api.get("secrets", "key").is_none());
}

#[tokio::test]
async fn a_finalizer_keeps_a_job() {
    let (api, _) = running().await;
    api.edit("jobs", "a", |job| job["metadata"]["finalizers"] = json!(["example.com/keep"]));
    jobs(&api).delete("a", &DeleteParams::background()).await.unwrap();
    assert!(deleting(&api, "jobs", "a"));
    let change = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    jobs(&api).patch("a", &PatchParams::default(), &change).await.unwrap();
    assert!(api.get("jobs", "a").is_none());
}

#[tokio::test]
async fn all_of_a_selector_can_be_deleted() {
    let (api, _) = running().await;
    create(&api, "b").await;
    let of_b = ListParams::default().labels("run=b");
    jobs(&api).delete_collection(&DeleteParams::background(), &of_b).await.unwrap();
    assert!(api.get("jobs", "a").is_some() && api.get("jobs", "b").is_none());
}

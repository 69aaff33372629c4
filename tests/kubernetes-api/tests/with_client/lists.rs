use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::ListParams;
use kubernetes_api::Api;
use serde_json::json;

use crate::{create, jobs, pods, status};

async fn with_jobs() -> Api {
    let api = Api::start().await;
    for name in ["a", "b", "c", "d", "e"] {
        create(&api, name).await;
    }
    api
}

#[tokio::test]
async fn a_list_comes_in_pages_of_one_version() {
    let api = with_jobs().await;
    let page = jobs(&api).list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(page.metadata.remaining_item_count, Some(3));
    let version = page.metadata.resource_version.clone();
    create(&api, "f").await;
    api.remove("jobs", "e");

    let mut names: Vec<_> = page.items.into_iter().filter_map(|job| job.metadata.name).collect();
    let mut token = page.metadata.continue_;
    while let Some(continued) = token {
        let page = jobs(&api).list(&ListParams::default().limit(2).continue_token(&continued)).await.unwrap();
        assert_eq!(page.metadata.resource_version, version);
        names.extend(page.items.into_iter().filter_map(|job| job.metadata.name));
        token = page.metadata.continue_;
    }
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn a_continue_token_expires() {
    let api = with_jobs().await;
    let first = ListParams::default().limit(2);
    let token = jobs(&api).list(&first).await.unwrap().metadata.continue_.unwrap();
    api.faults().expire_continue();
    let refused = status(jobs(&api).list(&first.clone().continue_token(&token)).await.unwrap_err());
    assert_eq!((refused.code, refused.reason.as_str()), (410, "Expired"));

    let token = jobs(&api).list(&first).await.unwrap().metadata.continue_.unwrap();
    api.compact();
    assert_eq!(status(jobs(&api).list(&first.continue_token(&token)).await.unwrap_err()).code, 410);
}

#[tokio::test]
async fn selectors_choose() {
    let api = with_jobs().await;
    let names = async |params: ListParams| -> Vec<String> {
        jobs(&api).list(&params).await.unwrap().items.into_iter().filter_map(|job| job.metadata.name).collect()
    };
    assert_eq!(names(ListParams::default().labels("run in (a,c)")).await, ["a", "c"]);
    assert_eq!(names(ListParams::default().fields("metadata.name=b")).await, ["b"]);
    assert_eq!(names(ListParams::default().labels("run,run!=a,run notin (b,c)")).await, ["d", "e"]);
    let all: kube::Api<Pod> = kube::Api::all(api.client());
    assert_eq!(all.list(&ListParams::default().labels("job-name=a")).await.unwrap().items.len(), 1);
    let other: kube::Api<Pod> = kube::Api::namespaced(api.client(), "other");
    assert!(other.list(&ListParams::default()).await.unwrap().items.is_empty());
    let refused = pods(&api).list(&ListParams::default().fields("spec.image=x")).await;
    assert_eq!(status(refused.unwrap_err()).code, 400);
}

#[tokio::test]
async fn metadata_alone_can_be_listed() {
    let api = with_jobs().await;
    let listed = jobs(&api).list_metadata(&ListParams::default()).await.unwrap();
    assert_eq!(listed.items.len(), 5);
}

#[tokio::test]
async fn what_the_test_puts_is_there() {
    let api = Api::start().await;
    api.put("secrets", "default", "key", json!({"data": {"a": "eA=="}}));
    let secrets: kube::Api<Secret> = kube::Api::namespaced(api.client(), "default");
    let secret = secrets.get("key").await.unwrap();
    assert_eq!(secret.data.unwrap()["a"].0, b"x");
}

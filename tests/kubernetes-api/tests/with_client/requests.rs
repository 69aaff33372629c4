use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::{core, events};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use kubernetes_api::{Api, Verb};
use serde_json::{Value, json};

use crate::{create, job, job_object, jobs, status};

async fn post(api: &Api, body: &Value) -> Result<Value, kube::Error> {
    let path = "/apis/batch/v1/namespaces/default/jobs?fieldValidation=Strict";
    let request = axum::http::Request::post(path).header("content-type", "application/json");
    api.client().request(request.body(body.to_string().into_bytes()).unwrap()).await
}

#[tokio::test]
async fn a_kubeconfig_and_the_version() {
    let api = Api::start().await;
    let kubeconfig = Kubeconfig::from_yaml(&api.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let client = Client::try_from(config).unwrap();
    assert_eq!(client.apiserver_version().await.unwrap().minor, "33");
    let request = api.requests().pop().unwrap();
    assert_eq!(request.authorization.as_deref(), Some("Bearer test-token"));
    assert_eq!((request.path.as_str(), request.status), ("/version", Some(200)));
}

#[tokio::test]
async fn an_unknown_field_is_refused_by_a_server_that_can() {
    let api = Api::start().await;
    api.unknown_field("spec.template.spec.containers.image");
    let refused = status(post(&api, &job_object("a", 0)).await.unwrap_err());
    assert_eq!(refused.code, 400);
    let unknown = "strict decoding error: unknown field \"spec.template.spec.containers[0].image\"";
    assert!(refused.message.contains(unknown), "{refused}");
    api.set_version(20);
    let made = post(&api, &job_object("a", 0)).await.unwrap();
    assert!(made.pointer("/spec/template/spec/containers/0/image").is_none());
}

#[tokio::test]
async fn names_are_given_and_refused() {
    let api = Api::start().await;
    let mut object = job_object("a", 0);
    object["metadata"] = json!({"generateName": "prefix-"});
    let made = post(&api, &object).await.unwrap();
    let name = made["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("prefix-") && name.len() == 12, "{name}");
    assert_eq!(api.any_job().await, name);
    object["metadata"] = json!({"name": "Not_A_Name"});
    assert_eq!(status(post(&api, &object).await.unwrap_err()).code, 422);
    object["metadata"] = json!({"name": "a", "labels": {"run": "x".repeat(64)}});
    assert_eq!(status(post(&api, &object).await.unwrap_err()).code, 422);
}

#[tokio::test]
async fn a_namespace_can_be_missing() {
    let api = Api::start().await;
    api.missing_namespace("nowhere");
    let there: kube::Api<Namespace> = kube::Api::all(api.client());
    there.get("anywhere").await.unwrap();
    assert!(status(there.get("nowhere").await.unwrap_err()).is_not_found());
    let jobs = kube::Api::namespaced(api.client(), "nowhere");
    let refused = status(jobs.create(&PostParams::default(), &job("a")).await.unwrap_err());
    assert!(refused.message.contains("namespaces \"nowhere\" not found"), "{refused}");
}

#[tokio::test]
async fn what_is_forbidden_is_also_reviewed_so() {
    let api = Api::start().await;
    api.forbid(Verb::Get, "pods/log");
    let pods = crate::pods(&api);
    assert!(status(pods.logs("a", &kube::api::LogParams::default()).await.unwrap_err()).is_forbidden());
    let reviews: kube::Api<SelfSubjectAccessReview> = kube::Api::all(api.client());
    let ask = async |verb: &str, subresource: &str| {
        let attributes = json!({"verb": verb, "resource": "pods", "subresource": subresource});
        let review = serde_json::from_value(json!({"spec": {"resourceAttributes": attributes}})).unwrap();
        reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
    };
    assert!(!ask("get", "log").await);
    assert!(ask("get", "").await);
    api.answer_reviews(|attributes| attributes["verb"] == "list");
    assert!(!ask("get", "").await && ask("list", "").await);
}

#[tokio::test]
async fn patches_and_conflicts() {
    let api = Api::start().await;
    let mut old = create(&api, "a").await;
    let change = json!({"metadata": {"labels": {"run": null, "more": "1"}}, "status": {"failed": 7}});
    let patched = jobs(&api).patch("a", &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
    assert_eq!(patched.metadata.labels.unwrap().into_iter().collect::<Vec<_>>(), [("more".into(), "1".into())]);
    assert_eq!(patched.status.unwrap().failed, None);
    let change = json!({"spec": {"suspend": true}});
    jobs(&api).patch("a", &PatchParams::default(), &Patch::Strategic(change)).await.unwrap();
    let change = json!({"status": {"ready": 1}});
    let patched = jobs(&api).patch_status("a", &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
    assert_eq!(patched.status.unwrap().ready, Some(1));

    let stale = jobs(&api).replace("a", &PostParams::default(), &old).await.unwrap_err();
    assert_eq!(status(stale).code, 409);
    old.metadata.resource_version = None;
    jobs(&api).replace("a", &PostParams::default(), &old).await.unwrap();
}

#[tokio::test]
async fn events_are_in_both_groups() {
    let api = Api::start().await;
    create(&api, "a").await;
    api.emit_event("Job", "a", "Warning", "FailedCreate", "exceeded quota");
    let of_a = ListParams::default().fields("involvedObject.name=a");
    let old: kube::Api<core::v1::Event> = kube::Api::namespaced(api.client(), "default");
    let event = old.list(&of_a).await.unwrap().items.pop().unwrap();
    assert_eq!((event.reason.as_deref(), event.message.as_deref()), (Some("FailedCreate"), Some("exceeded quota")));
    let new: kube::Api<events::v1::Event> = kube::Api::namespaced(api.client(), "default");
    let event = new.list(&ListParams::default().fields("regarding.name=a")).await.unwrap().items.pop().unwrap();
    assert_eq!(event.note.as_deref(), Some("exceeded quota"));
    assert_eq!(event.regarding.unwrap().name.as_deref(), Some("a"));
}

#[tokio::test]
async fn bodies_are_kept() {
    let api = Api::start().await;
    create(&api, "a").await;
    let request = api.requests().pop().unwrap();
    assert_eq!((request.verb, request.resource.as_str()), (Verb::Create, "jobs"));
    assert!(request.body.contains("\"restartPolicy\":\"Never\""), "{request}");
}

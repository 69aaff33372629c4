//! The service before the real client.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod deletion;
mod faults;
mod jobs;
mod lists;
mod logs;
mod requests;
mod watches;

use std::fmt::Debug;

use futures::stream::{Stream, StreamExt};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kubernetes_api::Api;
use serde_json::{Value, json};

fn jobs(api: &Api) -> kube::Api<Job> {
    kube::Api::namespaced(api.client(), "default")
}

fn pods(api: &Api) -> kube::Api<Pod> {
    kube::Api::namespaced(api.client(), "default")
}

fn job_object(name: &str, backoff_limit: i32) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "labels": {"run": name}},
        "spec": {"backoffLimit": backoff_limit, "template": {
            "metadata": {"labels": {"run": name}},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "flow", "image": "image"}]},
        }},
    })
}

async fn create(api: &Api, name: &str) -> Job {
    jobs(api).create(&PostParams::default(), &job(name)).await.unwrap()
}

fn job(name: &str) -> Job {
    serde_json::from_value(job_object(name, 0)).unwrap()
}

fn status(error: kube::Error) -> kube::core::Status {
    if let kube::Error::Api(status) = error { *status } else { panic!("no answer: {error}") }
}

/// The next item, which has to be there.
async fn next<T: Debug, E: Debug>(stream: &mut (impl Stream<Item = Result<T, E>> + Unpin)) -> T {
    stream.next().await.unwrap().unwrap()
}

//! All the ways in which runs end besides their own.

use std::time::Duration;

use infra_contract::{Found, InfraPlugin as _};
use kubernetes_api::{PodState, Verb};
use serde_json::json;
use worker_core::exit::Exit;
use worker_core::spec::RunSpec;

use crate::support::clock::FastClock;
use crate::support::scripted::{Scripted, plain};
use crate::support::{with_fields, with_manifest};

fn retrying(limit: u32) -> RunSpec {
    with_manifest(plain(), |job| job["spec"]["backoffLimit"] = limit.into())
}

#[tokio::test]
async fn c114_what_the_cluster_does_to_a_pod_is_how_its_run_ends() {
    let _clock = FastClock::start();
    let evicted = PodState::Evicted { message: "The node was low on resource: memory.".to_owned() };
    for version in [20, 26, 33] {
        for (state, exit) in [
            (PodState::OomKilled, Exit::OutOfMemory),
            (evicted.clone(), Exit::Evicted),
            (PodState::Preempted, Exit::Evicted),
            (PodState::failed(4), Exit::Code(4)),
        ] {
            let bench = Scripted::new().await;
            bench.api.set_version(version);
            let (mut watched, pod) = bench.start_running(&plain()).await;
            bench.api.set_pod(&pod, &state);
            let report = watched.end().await;
            assert_eq!(report.exit, exit, "{version} {state:?}: {report:?}");
            // A worker that was away meanwhile says the same.
            assert_eq!(bench.restarted().reattach(&watched.handle).await.unwrap(), Found::Exited(report));
        }
    }
}

#[tokio::test]
async fn c114_a_lost_node_ends_the_run() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let (mut watched, pod) = bench.start_running(&plain()).await;
    bench.api.set_pod(&pod, &PodState::NodeLost);
    bench.api.delete_pod_object(&pod);
    let report = watched.end().await;
    assert_eq!(report.exit, Exit::NodeLost, "{report:?}");
}

#[tokio::test]
async fn c114_a_pod_that_is_deleted_from_outside_ends_a_run_without_retries() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let (mut watched, pod) = bench.start_running(&plain()).await;
    bench.api.delete_pod_object(&pod);
    let report = watched.end().await;
    assert!(!report.exit.is_success(), "{report:?}");
    assert!(report.detail.as_ref().unwrap().contains("deleted"), "{report:?}");
}

#[tokio::test]
async fn c114_a_pod_that_is_deleted_from_outside_is_replaced_where_the_job_says_so() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let (mut watched, pod) = bench.start_running(&retrying(3)).await;
    bench.api.delete_pod_object(&pod);
    let next = bench.api.pod_of(watched.job()).await;
    assert_ne!(next, pod);
    bench.api.set_pod(&next, &PodState::Running);
    assert_eq!(watched.seen().end, None);
    bench.api.set_pod(&next, &PodState::Succeeded);
    assert_eq!(watched.end().await.exit, Exit::Code(0));
}

#[tokio::test]
async fn c114_a_failed_pod_with_a_successor_is_no_crash() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let (mut watched, pod) = bench.start_running(&retrying(1)).await;
    bench.api.set_pod(&pod, &PodState::failed(1));
    let job = watched.job().to_owned();
    let next = bench.api.until("a successor", |api| api.pods_of(&job).pop().filter(|next| *next != pod)).await;
    bench.api.set_pod(&next, &PodState::Running);
    assert_eq!(watched.seen().end, None);
    bench.api.set_pod(&next, &PodState::Succeeded);
    assert_eq!(watched.end().await.exit, Exit::Code(0));
}

#[tokio::test]
async fn c114_a_job_that_is_deleted_from_outside_ends_its_run() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let (mut watched, pod) = bench.start_running(&plain()).await;
    let job = watched.job().to_owned();
    bench.api.remove("jobs", &job);
    bench
        .api
        .until("its pod is told to end", |api| {
            api.get("pods", &pod)?["metadata"]["deletionTimestamp"].as_str().map(|_| ())
        })
        .await;
    assert_eq!(watched.seen().end, None, "the pod runs still");
    bench.api.delete_pod_object(&pod);
    let report = watched.end().await;
    assert!(report.detail.as_ref().unwrap().contains("Kubernetes job was deleted"), "{report:?}");
}

#[tokio::test]
async fn a_job_that_is_going_to_fail_has_failed_when_its_pods_are_gone() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    bench.api.set_version(33);
    let (mut watched, pod) = bench.start_running(&plain()).await;
    bench.api.fail_job(watched.job(), "DeadlineExceeded", "Job was active longer than specified deadline");
    let job = bench.api.get("jobs", watched.job()).unwrap();
    assert_eq!(job["status"]["conditions"][0]["type"], "FailureTarget");
    assert_eq!(watched.seen().end, None);
    bench.api.set_pod(&pod, &PodState::failed(143));
    let report = watched.end().await;
    assert_eq!(report.exit, Exit::Code(143), "{report:?}");
    assert!(report.detail.as_ref().unwrap().contains("activeDeadlineSeconds"), "{report:?}");
}

fn pull_failed(message: &str) -> PodState {
    PodState::Pending { reason: "ImagePullBackOff".to_owned(), message: message.to_owned() }
}

/// Makes a pod older than it is.
fn age(bench: &Scripted, pod: &str, by: i64) {
    let then = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() - by).unwrap().to_string();
    bench.api.edit("pods", pod, |pod| {
        pod["metadata"]["creationTimestamp"] = json!(then);
        if !pod["status"]["startTime"].is_null() {
            pod["status"]["startTime"] = json!(then);
        }
    });
    for job in bench.api.list("jobs") {
        bench.api.edit("jobs", job["metadata"]["name"].as_str().unwrap(), |job| {
            job["metadata"]["creationTimestamp"] = json!(then);
            job["status"]["startTime"] = json!(then);
        });
    }
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_ends_the_run_after_its_deadline() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    bench.api.auto_kubelet(None);
    let mut watched = bench.start(&with_fields(plain(), &json!({"image_pull_deadline_seconds": 120}))).await;
    let pod = bench.api.pod_of(watched.job()).await;
    bench.api.set_pod(&pod, &pull_failed("Back-off pulling image: dial tcp: i/o timeout"));
    age(&bench, &pod, 100);
    watched.until("it is diagnosed", |seen| !seen.diagnoses.is_empty()).await;
    assert_eq!(watched.seen().end, None, "not yet");
    age(&bench, &pod, 130);
    let report = watched.end().await;
    assert_eq!(report.exit, Exit::NeverStarted);
    let detail = report.detail.unwrap();
    assert!(detail.contains("could not be pulled for 13") && detail.contains("i/o timeout"), "{detail}");
    assert!(bench.api.list("jobs").is_empty() && bench.api.list("pods").is_empty(), "nothing waits any more");
}

#[tokio::test]
async fn a_wrong_tag_fails_fast() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let mut watched = bench.start(&plain()).await;
    let pod = bench.api.pod_of(watched.job()).await;
    bench.api.set_pod(&pod, &pull_failed("rpc error: code = NotFound desc = docker.io/library/flows:2: not found"));
    age(&bench, &pod, 31);
    let report = watched.end().await;
    assert_eq!(report.exit, Exit::NeverStarted);
    assert!(report.detail.as_ref().unwrap().contains("not found"), "{report:?}");
}

#[tokio::test]
async fn a_pod_that_no_node_takes_ends_the_run_after_its_deadline() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let mut watched = bench.start(&with_fields(plain(), &json!({"start_deadline_seconds": 60}))).await;
    let pod = bench.api.pod_of(watched.job()).await;
    let message = "0/1 nodes are available: 1 Insufficient memory.".to_owned();
    bench.api.set_pod(&pod, &PodState::Unschedulable { message });
    age(&bench, &pod, 61);
    let report = watched.end().await;
    assert_eq!(report.exit, Exit::NeverStarted);
    assert!(report.detail.as_ref().unwrap().contains("Insufficient memory"), "{report:?}");
}

#[tokio::test]
async fn what_a_watch_missed_is_asked_before_anything_is_given_up() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let mut watched = bench.start(&plain()).await;
    let pod = bench.api.pod_of(watched.job()).await;
    bench.api.set_pod(&pod, &pull_failed("not found"));
    watched.until("it is diagnosed", |seen| !seen.diagnoses.is_empty()).await;
    let away = kubernetes_api::Failure::new(503, "ServiceUnavailable", "away");
    let asked = bench.api.count(Verb::Get, "jobs");
    bench.api.faults().fail_next(Verb::Get, "jobs", 1, away);
    age(&bench, &pod, 1000);
    bench.api.until_requests(Verb::Get, "jobs", asked + 1).await;
    // The image comes after all, and no watch says so.
    bench.api.faults().silence_watches(true);
    bench.api.set_pod(&pod, &PodState::Running);
    bench.api.until_requests(Verb::Get, "jobs", asked + 3).await;
    assert_eq!(bench.api.count(Verb::Delete, "jobs"), 0);
    bench.api.faults().silence_watches(false);
    bench.api.set_pod(&pod, &PodState::Succeeded);
    assert_eq!(watched.end().await.exit, Exit::Code(0));
}

#[tokio::test]
async fn a_job_that_takes_too_long_is_ended() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let spec = with_fields(plain(), &json!({"job_watch_timeout_seconds": 3600}));
    let (mut watched, pod) = bench.start_running(&spec).await;
    bench.api.auto_kubelet(Some(Duration::from_hours(100)));
    age(&bench, &pod, 3601);
    bench.api.until_requests(Verb::Delete, "pods", 1).await;
    bench.api.delete_pod_object(&pod);
    let report = watched.end().await;
    assert_eq!(report.exit, Exit::Code(-1));
    assert!(report.detail.as_ref().unwrap().contains("job_watch_timeout_seconds of 3600"), "{report:?}");
}

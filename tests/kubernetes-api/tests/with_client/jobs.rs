use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use kube::api::PostParams;
use kubernetes_api::{Api, PodState};

use crate::{create, job_object, jobs, pods};

async fn conditions(api: &Api, name: &str) -> Vec<String> {
    let status = jobs(api).get(name).await.unwrap().status.unwrap();
    status.conditions.unwrap_or_default().into_iter().map(|condition| condition.type_).collect()
}

#[tokio::test]
async fn a_job_has_a_pod_and_completes_with_it() {
    let api = Api::start().await;
    let job = create(&api, "a").await;
    let pod = pods(&api).get(&api.pod_of("a").await).await.unwrap();
    let labels = pod.metadata.labels.clone().unwrap();
    let uid = job.metadata.uid.unwrap();
    assert_eq!(labels["run"], "a");
    assert_eq!((&labels["job-name"], &labels["batch.kubernetes.io/controller-uid"]), (&"a".to_owned(), &uid));
    assert_eq!(pod.metadata.owner_references.unwrap()[0].uid, uid);

    let pod = pod.metadata.name.unwrap();
    for state in [PodState::pending("ImagePullBackOff"), PodState::Running, PodState::Succeeded] {
        api.set_pod(&pod, &state);
        pods(&api).get(&pod).await.unwrap();
    }
    assert_eq!(conditions(&api, "a").await, ["SuccessCriteriaMet", "Complete"]);
}

#[tokio::test]
async fn a_failed_pod_is_replaced_up_to_the_limit() {
    for (version, expected) in [(33, vec!["FailureTarget", "Failed"]), (20, vec!["Failed"])] {
        let api = Api::start().await;
        api.set_version(version);
        let job: Job = serde_json::from_value(job_object("a", 1)).unwrap();
        jobs(&api).create(&PostParams::default(), &job).await.unwrap();
        let first = api.pod_of("a").await;
        api.set_pod(&first, &PodState::OomKilled);
        let second = api.pod_of("a").await;
        assert_eq!(api.pods_of("a"), [first, second.clone()]);
        assert!(conditions(&api, "a").await.is_empty());
        api.set_pod(&second, &PodState::Evicted { message: "memory".to_owned() });
        assert_eq!(conditions(&api, "a").await, expected);
        assert_eq!(jobs(&api).get("a").await.unwrap().status.unwrap().failed, Some(2));
    }
}

#[tokio::test]
async fn a_deadline_waits_for_the_pods_of_a_modern_server() {
    let api = Api::start().await;
    create(&api, "a").await;
    let pod = api.pod_of("a").await;
    api.set_pod(&pod, &PodState::Running);
    api.fail_job("a", "DeadlineExceeded", "Job was active longer than specified deadline");
    assert_eq!(conditions(&api, "a").await, ["FailureTarget"]);
    api.delete_pod_object(&pod);
    assert_eq!(conditions(&api, "a").await, ["FailureTarget", "Failed"]);
    assert!(api.pods_of("a").is_empty());
}

#[tokio::test]
async fn the_kubelet_runs_pods_by_itself() {
    let api = Api::start().await;
    api.auto_kubelet(Some(Duration::from_millis(1)));
    create(&api, "a").await;
    api.until("the job is complete", |api| {
        let conditions = api.get("jobs", "a")?.pointer("/status/conditions")?.clone();
        conditions.as_array()?.iter().any(|condition| condition["type"] == "Complete").then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_state_is_one_that_the_client_can_read() {
    let api = Api::start().await;
    api.job_controller(false);
    create(&api, "a").await;
    api.put("pods", "default", "p", job_object("a", 0)["spec"]["template"].clone());
    let text = || "text".to_owned();
    for state in [
        PodState::Unschedulable { message: text() },
        PodState::pending("ContainerCreating"),
        PodState::Running,
        PodState::NodeLost,
        PodState::CrashLoop { exit: 1, restarts: 3 },
        PodState::failed(3),
        PodState::Preempted,
        PodState::FailedPod { reason: text(), message: text() },
    ] {
        api.set_pod("p", &state);
        pods(&api).get("p").await.unwrap();
    }
}

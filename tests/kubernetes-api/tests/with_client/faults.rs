use std::time::Duration;

use kube::api::PostParams;
use kubernetes_api::{Api, Failure, Verb};

use crate::{job, jobs, status};

#[tokio::test]
async fn a_lost_reply_leaves_the_object() {
    let api = Api::start().await;
    api.faults().lose_replies(Verb::Create, "jobs", 1);
    let lost = jobs(&api).create(&PostParams::default(), &job("a")).await.unwrap_err();
    assert!(!matches!(lost, kube::Error::Api(_)), "{lost}");
    let again = status(jobs(&api).create(&PostParams::default(), &job("a")).await.unwrap_err());
    assert_eq!((again.code, again.reason.as_str()), (409, "AlreadyExists"));
    assert_eq!(api.count(Verb::Create, "jobs"), 2);
    let statuses: Vec<_> = api.requests().iter().map(|request| request.status).collect();
    assert_eq!(statuses, [None, Some(409)]);
}

#[tokio::test]
async fn failures_come_in_their_order() {
    let api = Api::start().await;
    let faults = api.faults();
    faults.fail_next(Verb::Get, "jobs", 1, Failure::new(500, "InternalError", "etcd is away"));
    let slow_down = Failure::new(503, "ServiceUnavailable", "wait").retry_after(Duration::from_secs(7));
    faults.fail_next(Verb::Get, "jobs", 1, slow_down);
    faults.throttle(1, Duration::from_secs(3));

    let failed = status(jobs(&api).get("a").await.unwrap_err());
    assert_eq!((failed.code, failed.message.as_str()), (500, "etcd is away"));
    let failed = status(jobs(&api).get("a").await.unwrap_err());
    assert_eq!((failed.code, failed.details.unwrap().retry_after_seconds), (503, 7));
    let failed = status(jobs(&api).get("a").await.unwrap_err());
    assert_eq!((failed.code, failed.reason.as_str()), (429, "TooManyRequests"));
    assert!(status(jobs(&api).get("a").await.unwrap_err()).is_not_found());
}

#[tokio::test]
async fn a_request_that_hangs_has_its_effect_when_it_is_released() {
    let api = Api::start().await;
    api.faults().hang(Verb::Create, "jobs", 1);
    let jobs = jobs(&api);
    let creating = tokio::spawn(async move { jobs.create(&PostParams::default(), &job("a")).await });
    api.until_requests(Verb::Create, "jobs", 1).await;
    assert!(api.get("jobs", "a").is_none());
    api.faults().release();
    creating.await.unwrap().unwrap();
    assert!(api.get("jobs", "a").is_some());
}

#[tokio::test]
async fn a_server_that_is_down_answers_nobody() {
    let api = Api::start().await;
    let jobs = jobs(&api);
    assert!(status(jobs.get("a").await.unwrap_err()).is_not_found());
    api.faults().down(true);
    assert!(!matches!(jobs.get("a").await, Ok(_) | Err(kube::Error::Api(_))));
    api.faults().down(false);
    assert!(status(jobs.get("a").await.unwrap_err()).is_not_found());
}

#[tokio::test]
async fn a_request_whose_client_left_has_no_effect() {
    let api = Api::start().await;
    api.faults().hang(Verb::Create, "jobs", 1);
    let client = jobs(&api);
    let creating = tokio::spawn(async move { client.create(&PostParams::default(), &job("a")).await });
    api.until_requests(Verb::Create, "jobs", 1).await;
    api.faults().cut_connections();
    assert!(!matches!(creating.await.unwrap(), Ok(_) | Err(kube::Error::Api(_))));
    api.faults().heal();
    assert!(status(jobs(&api).get("a").await.unwrap_err()).is_not_found());
}

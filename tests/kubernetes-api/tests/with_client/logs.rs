use std::pin::pin;

use futures::{AsyncBufReadExt, TryStreamExt};
use kube::api::LogParams;
use kubernetes_api::{Api, PodState};

use crate::{create, next, pods, status};

async fn running() -> (Api, String) {
    let api = Api::start().await;
    create(&api, "a").await;
    let pod = api.pod_of("a").await;
    api.set_pod(&pod, &PodState::Running);
    (api, pod)
}

#[tokio::test]
async fn a_followed_log_ends_with_the_pod() {
    let (api, pod) = running().await;
    api.append_log(&pod, "flow", "one\n");
    let follow = LogParams { follow: true, ..LogParams::default() };
    let mut lines = pin!(pods(&api).log_stream(&pod, &follow).await.unwrap().lines());
    assert_eq!(next(&mut lines).await, "one");
    api.append_log(&pod, "flow", "two\n");
    assert_eq!(next(&mut lines).await, "two");
    assert_eq!(api.open_logs(), 1);
    api.append_log(&pod, "flow", "three\n");
    api.set_pod(&pod, &PodState::Succeeded);
    assert_eq!(next(&mut lines).await, "three");
    assert_eq!(lines.try_next().await.unwrap(), None);
}

#[tokio::test]
async fn a_followed_log_breaks() {
    let (api, pod) = running().await;
    let follow = LogParams { follow: true, ..LogParams::default() };
    let mut lines = pin!(pods(&api).log_stream(&pod, &follow).await.unwrap().lines());
    api.until("the log is followed", |api| (api.open_logs() == 1).then_some(())).await;
    api.faults().drop_logs();
    assert!(lines.try_next().await.is_err());
}

#[tokio::test]
async fn parts_of_a_log() {
    let (api, pod) = running().await;
    let at = |text: &str| text.parse().unwrap();
    api.append_log_at(at("2024-01-01T00:00:00.5Z"), &pod, "flow", "one\ntwo\n");
    api.append_log_at(at("2024-01-01T00:00:10Z"), &pod, "flow", "three\n");
    let log = async |params: LogParams| pods(&api).logs(&pod, &params).await.unwrap();
    assert_eq!(log(LogParams::default()).await, "one\ntwo\nthree\n");
    assert_eq!(log(LogParams { tail_lines: Some(2), ..LogParams::default() }).await, "two\nthree\n");
    let since = Some(at("2024-01-01T00:00:05Z"));
    let stamped = LogParams { since_time: since, timestamps: true, ..LogParams::default() };
    assert_eq!(log(stamped).await, "2024-01-01T00:00:10.000000000Z three\n");
    assert_eq!(log(LogParams { limit_bytes: Some(5), ..LogParams::default() }).await, "one\nt");
}

#[tokio::test]
async fn there_are_logs_that_are_not_there() {
    let (api, pod) = running().await;
    let previous = LogParams { previous: true, ..LogParams::default() };
    assert_eq!(status(pods(&api).logs(&pod, &previous).await.unwrap_err()).code, 400);
    api.set_previous_log(&pod, "flow", "before\n");
    assert_eq!(pods(&api).logs(&pod, &previous).await.unwrap(), "before\n");
    let other = LogParams { container: Some("other".to_owned()), ..LogParams::default() };
    assert_eq!(status(pods(&api).logs(&pod, &other).await.unwrap_err()).code, 400);
    assert!(status(pods(&api).logs("none", &previous).await.unwrap_err()).is_not_found());
    api.set_pod(&pod, &PodState::pending("ContainerCreating"));
    let waiting = status(pods(&api).logs(&pod, &LogParams::default()).await.unwrap_err());
    assert!(waiting.message.contains("waiting to start: ContainerCreating"), "{waiting}");
}

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{WatchEvent, WatchParams};
use kube::runtime::watcher::{self, Event, watcher};
use kubernetes_api::{Api, Failure, PodState, Verb};
use serde_json::json;

use crate::{create, next, pods};

fn told(event: &WatchEvent<Pod>) -> (&'static str, String) {
    match event {
        WatchEvent::Added(pod) => ("added", phase(pod)),
        WatchEvent::Modified(pod) => ("modified", phase(pod)),
        WatchEvent::Deleted(pod) => ("deleted", phase(pod)),
        WatchEvent::Bookmark(bookmark) => ("bookmark", bookmark.metadata.resource_version.clone()),
        WatchEvent::Error(status) => ("error", status.code.to_string()),
    }
}

fn phase(pod: &Pod) -> String {
    pod.status.clone().and_then(|status| status.phase).unwrap_or_default()
}

#[tokio::test]
async fn a_watch_starts_from_a_version() {
    let api = Api::start().await;
    let from = api.version().to_string();
    create(&api, "a").await;
    let pod = api.pod_of("a").await;
    api.set_pod(&pod, &PodState::Running);
    let mut watch = pin!(pods(&api).watch(&WatchParams::default(), &from).await.unwrap());
    assert_eq!(told(&next(&mut watch).await), ("added", "Pending".to_owned()));
    assert_eq!(told(&next(&mut watch).await), ("modified", "Running".to_owned()));
    api.delete_pod_object(&pod);
    assert_eq!(told(&next(&mut watch).await), ("deleted", "Running".to_owned()));
    api.bookmark();
    assert_eq!(told(&next(&mut watch).await), ("bookmark", api.version().to_string()));
}

#[tokio::test]
async fn a_watch_without_a_version_begins_with_what_is_there() {
    let api = Api::start().await;
    create(&api, "a").await;
    for version in ["0", ""] {
        let mut watch = pin!(pods(&api).watch(&WatchParams::default(), version).await.unwrap());
        assert_eq!(told(&next(&mut watch).await), ("added", "Pending".to_owned()));
    }
}

#[tokio::test]
async fn objects_come_into_and_go_out_of_a_selector() {
    let api = Api::start().await;
    create(&api, "a").await;
    let pod = api.pod_of("a").await;
    let params = WatchParams::default().labels("seen=yes");
    let mut watch = pin!(pods(&api).watch(&params, &api.version().to_string()).await.unwrap());
    api.edit("pods", &pod, |pod| pod["metadata"]["labels"]["seen"] = json!("yes"));
    assert_eq!(told(&next(&mut watch).await).0, "added");
    api.set_pod(&pod, &PodState::Running);
    assert_eq!(told(&next(&mut watch).await), ("modified", "Running".to_owned()));
    api.edit("pods", &pod, |pod| pod["metadata"]["labels"]["seen"] = json!("no"));
    assert_eq!(told(&next(&mut watch).await).0, "deleted");
}

#[tokio::test]
async fn a_compacted_version_is_gone() {
    let api = Api::start().await;
    let from = api.version().to_string();
    create(&api, "a").await;
    api.compact();
    let mut watch = pin!(pods(&api).watch(&WatchParams::default(), &from).await.unwrap());
    assert_eq!(told(&next(&mut watch).await), ("error", "410".to_owned()));
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn a_watch_ends_after_its_time_with_a_bookmark() {
    let api = Api::start().await;
    let params = WatchParams::default().timeout(1);
    let mut watch = pin!(pods(&api).watch(&params, &api.version().to_string()).await.unwrap());
    assert_eq!(told(&next(&mut watch).await).0, "bookmark");
    assert!(watch.next().await.is_none());
    api.until("no watch is open", |api| (api.open_watches("pods") == 0).then_some(())).await;
}

#[tokio::test]
async fn initial_events_are_refused_or_not_known() {
    let api = Api::start().await;
    let params = WatchParams::default().initial_events();
    assert!(pods(&api).watch(&params, "0").await.is_err());
    api.set_version(20);
    create(&api, "a").await;
    let mut watch = pin!(pods(&api).watch(&params, "0").await.unwrap());
    assert_eq!(told(&next(&mut watch).await).0, "added");
}

#[tokio::test]
async fn a_watcher_survives_cuts_ends_and_410() {
    let api = Api::start().await;
    create(&api, "a").await;
    let mut events = pin!(watcher(pods(&api), watcher::Config::default()));
    assert!(matches!(next(&mut events).await, Event::Init));
    assert!(matches!(next(&mut events).await, Event::InitApply(_)));
    assert!(matches!(next(&mut events).await, Event::InitDone));

    let pod = api.pod_of("a").await;
    api.set_pod(&pod, &PodState::Running);
    assert!(matches!(next(&mut events).await, Event::Apply(pod) if phase(&pod) == "Running"));

    api.faults().drop_watches();
    create(&api, "b").await;
    assert!(matches!(next(&mut events).await, Event::Apply(pod) if pod.name_any().starts_with("b-")));
    api.faults().eof_watches();
    create(&api, "c").await;
    assert!(matches!(next(&mut events).await, Event::Apply(pod) if pod.name_any().starts_with("c-")));
    assert_eq!((api.count(Verb::List, "pods"), api.count(Verb::Watch, "pods")), (1, 3));

    api.faults().gone(1);
    api.faults().drop_watches();
    assert!(matches!(events.next().await, Some(Err(watcher::Error::WatchError(status))) if status.code == 410));
    assert!(matches!(next(&mut events).await, Event::Init));
    for _ in 0..3 {
        assert!(matches!(next(&mut events).await, Event::InitApply(_)));
    }
    assert!(matches!(next(&mut events).await, Event::InitDone));
    assert_eq!(api.count(Verb::List, "pods"), 2);
}

#[tokio::test]
async fn a_watcher_sees_a_failed_start() {
    let api = Api::start().await;
    api.faults().fail_next(Verb::Watch, "pods", 1, Failure::new(500, "InternalError", "no"));
    let mut events = pin!(watcher(pods(&api), watcher::Config::default()));
    assert!(matches!(next(&mut events).await, Event::Init));
    assert!(matches!(next(&mut events).await, Event::InitDone));
    assert!(matches!(events.next().await, Some(Err(watcher::Error::WatchStartFailed(_)))));
}

#[tokio::test]
async fn silence_holds_events_back() {
    let api = Api::start().await;
    let from = api.version().to_string();
    let watch = async || pods(&api).watch(&WatchParams::default(), &from).await.unwrap();
    let mut lost = pin!(watch().await);
    api.faults().silence_watches(true);
    create(&api, "a").await;
    let mut later = pin!(watch().await);
    api.faults().eof_watches();
    api.bookmark();
    assert!(futures::poll!(later.next()).is_pending());
    api.faults().drop_watches();
    assert!(lost.next().await.is_none());
    assert!(later.next().await.is_none());

    let mut heard = pin!(watch().await);
    api.faults().silence_watches(false);
    assert_eq!(told(&next(&mut heard).await).0, "added");
}

#[tokio::test]
async fn delayed_events_come() {
    let api = Api::start().await;
    api.faults().delay_events(Duration::from_millis(20));
    let from = api.version().to_string();
    create(&api, "a").await;
    let mut watch = pin!(pods(&api).watch(&WatchParams::default(), &from).await.unwrap());
    assert_eq!(told(&next(&mut watch).await).0, "added");
}

#[tokio::test]
async fn old_events_come_again() {
    let api = Api::start().await;
    let from = api.version().to_string();
    create(&api, "a").await;
    let pod = api.pod_of("a").await;
    api.set_pod(&pod, &PodState::Running);
    let mut watch = pin!(pods(&api).watch(&WatchParams::default(), &from).await.unwrap());
    for _ in 0..2 {
        assert_eq!(told(&next(&mut watch).await), ("added", "Pending".to_owned()));
        assert_eq!(told(&next(&mut watch).await), ("modified", "Running".to_owned()));
        api.faults().replay_old_events();
    }
}

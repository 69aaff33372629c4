//! The proxy in front of the in-memory API.

use std::io;
use std::time::Duration;

use http::Method;
use serde_json::json;

use super::*;
use crate::api::store::Tables;
use crate::api::tests::{Caller, deployed, set_state_path, started, state};
use crate::api::{ApiOptions, TestApi};

const BOUND: Duration = Duration::from_secs(20);

async fn proxied() -> (TestApi, FaultProxy, Caller) {
    let (api, _) = started(ApiOptions::default()).await;
    let proxy = FaultProxy::start(api.url(), 1).await.unwrap();
    let caller = Caller::new(proxy.url());
    (api, proxy, caller)
}

fn is_reset(error: &reqwest::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.kind() == io::ErrorKind::ConnectionReset;
        }
        cause = error.source();
    }
    false
}

fn requests_seen(api: &TestApi) -> usize {
    api.store().read(|tables| tables.requests().len())
}

#[tokio::test]
async fn without_rules_everything_passes_on_one_connection() {
    let (api, proxy, caller) = proxied().await;
    assert_eq!(caller.get("/health").await, (200, json!(true)));
    let beat = json!({"name": "w", "heartbeat_interval_seconds": 10});
    assert_eq!(caller.post("/work_pools/pp/workers/heartbeat", &beat).await.0, 204);
    assert_eq!(caller.get("/nowhere").await.0, 404);
    let counts = proxy.counts();
    assert_eq!((counts.connections, counts.requests, counts.forwarded), (1, 3, 3));
    assert_eq!(api.store().read(|tables| tables.connections().accepted), 1);
    let recorded = api.store().read(|tables| tables.requests()[1].header("user-agent").to_owned());
    assert_eq!(recorded, "prefect/3.8.0 (API 0.8.4)");
}

#[tokio::test]
async fn a_reset_is_a_reset_and_the_next_request_gets_a_new_connection() {
    let (api, proxy, caller) = proxied().await;
    let rule = proxy.add(Rule::on("/api/health", Fault::Reset).times(1));
    let error = caller.request(Method::GET, "/health").send().await.unwrap_err();
    assert!(is_reset(&error), "{error:?}");
    assert_eq!(requests_seen(&api), 0);
    proxy.acted(rule, 1, BOUND).await.unwrap();
    assert_eq!(caller.get("/health").await.0, 200);
}

#[tokio::test]
async fn a_black_hole_answers_nothing_and_other_paths_go_on() {
    let (api, proxy, caller) = proxied().await;
    let rule = proxy.add(Rule::on("/api/work_pools/*", Fault::BlackHole));
    let hole = caller.request(Method::GET, "/work_pools/pp").send();
    let swallowed = async {
        proxy.acted(rule, 1, BOUND).await.unwrap();
        assert_eq!(caller.get("/health").await.0, 200);
    };
    tokio::select! {
        biased;
        answer = hole => panic!("answered: {answer:?}"),
        () = swallowed => {}
    }
    assert_eq!(api.store().read(|tables| tables.requests_to("GET", "/work_pools/pp").count()), 0);
}

#[tokio::test]
async fn the_proxy_answers_in_the_servers_place() {
    let (api, proxy, caller) = proxied().await;
    for status in [401, 403, 404, 408, 409, 500, 502, 503, 504] {
        proxy.add(Rule::on("/api/health", Fault::status(status)).times(1));
        assert_eq!(caller.get("/health").await.0, status);
    }
    proxy.add(Rule::on("/api/health", Fault::status_retry_after(429, "2")).times(1));
    let limited = caller.request(Method::GET, "/health").send().await.unwrap();
    assert_eq!((limited.status().as_u16(), limited.headers()["retry-after"].to_str().unwrap()), (429, "2"));
    proxy.add(Rule::on("/api/health", Fault::Maintenance).times(1));
    let maintained = caller.request(Method::GET, "/health").send().await.unwrap();
    assert_eq!(
        (maintained.status().as_u16(), &maintained.headers()["prefect-maintenance"]),
        (503, &"true".parse().unwrap())
    );
    proxy.add(Rule::on("/api/health", Fault::html()).times(1));
    let portal = caller.request(Method::GET, "/health").send().await.unwrap();
    assert_eq!((portal.status().as_u16(), portal.headers()["content-type"].to_str().unwrap()), (200, "text/html"));
    assert!(portal.text().await.unwrap().contains("sign in"));
    assert_eq!(requests_seen(&api), 0);
    let counts = proxy.counts();
    assert_eq!((counts.connections, counts.forwarded), (1, 0));
}

#[tokio::test]
async fn a_lost_reply_has_had_its_effect() {
    let (api, proxy, caller) = proxied().await;
    let run = api.store().schedule_run(deployed(api.store())).unwrap();
    proxy.add(Rule::on("/api/flow_runs/*/set_state", Fault::LoseReply).method(Method::POST).times(1));
    let claim = caller.request(Method::POST, &set_state_path(run)).json(&state("PENDING", "Pending"));
    let error = claim.send().await.unwrap_err();
    assert!(is_reset(&error), "{error:?}");
    assert_eq!(api.store().state_names(run), ["Scheduled", "Pending"]);
    let (_, again) = caller.post(&set_state_path(run), &state("PENDING", "Pending")).await;
    assert_eq!(again["status"], "ABORT");
}

#[tokio::test]
async fn rules_are_lifted_one_by_one_and_all_together() {
    let (_api, proxy, caller) = proxied().await;
    let first = proxy.add(Rule::on("**", Fault::status(503)));
    let second = proxy.add(Rule::on("**", Fault::status(502)));
    assert_eq!(caller.get("/health").await.0, 503, "the first rule acts");
    proxy.lift(first);
    assert_eq!(caller.get("/health").await.0, 502);
    proxy.clear();
    assert_eq!(caller.get("/health").await.0, 200);
    assert_eq!((proxy.counts().of(first), proxy.counts().of(second)), (1, 1));
}

#[tokio::test]
async fn a_delayed_request_arrives_after_its_delay() {
    let (_api, proxy, caller) = proxied().await;
    let delay = Duration::from_millis(30);
    proxy.add(Rule::on("/api/health", Fault::Delay(delay)).times(1));
    let before = tokio::time::Instant::now();
    assert_eq!(caller.get("/health").await.0, 200);
    assert!(before.elapsed() >= delay);
}

#[tokio::test]
async fn websockets_pass_both_ways_and_are_cut_without_a_closing_frame() {
    let (api, proxy, caller) = proxied().await;
    let mut socket = caller.authenticated("/events/out").await;
    socket.send(&json!({"type": "filter", "filter": {"event": {"name": ["prefect.flow-run.Scheduled"]}}})).await;
    let run = api.store().schedule_run(deployed(api.store())).unwrap();
    let told = socket.next().await;
    assert_eq!(told["event"]["resource"]["prefect.resource.id"], json!(format!("prefect.flow-run.{run}")));
    assert_eq!(proxy.cut_websockets(), 1);
    assert_eq!(socket.closed().await, None);
    let gone = |counts: &Counts| (counts.open_websockets == 0).then_some(());
    proxy.wait_until("the websocket is gone", BOUND, gone).await.unwrap();
    let noticed = |tables: &Tables| tables.sockets().iter().all(|it| !it.open).then_some(());
    api.store().wait_until("the API notices", BOUND, noticed).await.unwrap();
    caller.authenticated("/events/out").await;
}

#[tokio::test]
async fn upgrades_are_refused_while_requests_pass() {
    let (_api, proxy, caller) = proxied().await;
    proxy.add(Rule::on("/api/**", Fault::RefuseUpgrade));
    let refused = reqwest_websocket::Upgrade::upgrade(caller.request(Method::GET, "/events/out")).send().await.unwrap();
    assert_eq!(refused.status(), 403);
    assert_eq!(caller.get("/health").await.0, 200);
}

#[tokio::test]
async fn a_server_that_is_gone_looks_gone_through_the_proxy_too() {
    let (mut api, proxy, caller) = proxied().await;
    api.stop().await;
    let error = caller.request(Method::GET, "/health").send().await.unwrap_err();
    assert!(is_reset(&error), "{error:?}");
    api.restart().await.unwrap();
    assert_eq!(caller.get("/health").await.0, 200);
    drop(proxy);
    assert!(caller.request(Method::GET, "/health").send().await.is_err());
}

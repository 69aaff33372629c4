//! `/events/in` and `/events/out`.

use central_api_wire::state::StateType;
use serde_json::json;
use uuid::Uuid;

use super::*;

fn filter(names: &[&str], any_resource: Option<String>) -> Value {
    json!({"type": "filter", "filter": {
        "occurred": {"since": "2020-01-01T00:00:00Z", "until": "2099-01-01T00:00:00Z"},
        "event": {"prefix": null, "exclude_prefix": null, "name": names, "exclude_name": null},
        "resource": null,
        "related": null,
        "any_resource": any_resource.map(|id| json!({"id": [id], "id_prefix": null, "labels": null})),
        "id": {"id": []},
        "text": null,
        "order": "DESC",
    }})
}

fn event(id: Uuid) -> Value {
    json!({
        "occurred": "2026-11-21T01:44:58.667280Z",
        "event": "prefect.worker.started",
        "resource": {"prefect.resource.id": "prefect.worker.process.w1", "prefect.resource.name": "w1"},
        "related": [],
        "payload": {},
        "id": id,
        "follows": null,
    })
}

#[tokio::test]
async fn state_changes_are_streamed_with_all_they_concern() {
    let (api, caller) = started(ApiOptions::default()).await;
    let run = api.store().schedule_run(deployed(api.store())).unwrap();
    caller.post(&set_state_path(run), &state("PENDING", "Pending")).await;
    let pool = api.store().pool("pp").unwrap().id;
    let mut socket = caller.authenticated("/events/out").await;
    let wanted =
        filter(&["prefect.flow-run.Pending", "prefect.flow-run.Cancelling"], Some(format!("prefect.work-pool.{pool}")));
    socket.send(&wanted).await;
    let past = socket.next().await;
    assert_eq!((&past["type"], &past["event"]["event"]), (&json!("event"), &json!("prefect.flow-run.Pending")));

    api.store().cancel_run(run).unwrap();
    let live = &socket.next().await["event"];
    let stored = api.store().run(run).unwrap();
    assert_eq!(live["id"], json!(stored.state().unwrap().id), "the event has the id of the state");
    assert_eq!(live["follows"], past["event"]["id"]);
    assert_eq!(live["resource"]["prefect.resource.id"], json!(format!("prefect.flow-run.{run}")));
    assert_eq!(live["resource"]["prefect.state-type"], "CANCELLING");
    assert_eq!(live["payload"]["intended"], json!({"from": "PENDING", "to": "CANCELLING"}));
    let roles: Vec<_> = live["related"].as_array().unwrap().iter().map(|it| &it["prefect.resource.role"]).collect();
    assert_eq!(roles, ["flow", "deployment", "work-queue", "work-pool"]);
    assert_eq!(live["related"][3]["prefect.work-pool.type"], "process");
    assert_eq!(stored.state_type(), Some(&StateType::Cancelling));
}

#[tokio::test]
async fn events_out_wants_the_token_and_a_filter() {
    let options = ApiOptions { auth_string: Some("admin:pass".into()), ..ApiOptions::default() };
    let (_api, caller) = started(options).await;
    for (token, reason) in [(json!(null), "Auth required but no token provided"), (json!("x"), "Invalid token")] {
        let mut socket = caller.socket("/events/out").await;
        socket.send(&json!({"type": "auth", "token": token})).await;
        assert_eq!(socket.closed().await, Some((1008, reason.to_owned())));
    }
    let mut socket = caller.socket("/events/out").await;
    socket.send(&json!({"type": "auth", "token": "admin:pass"})).await;
    assert_eq!(socket.next().await, json!({"type": "auth_success"}));
    socket.send(&json!({"type": "hello"})).await;
    assert_eq!(socket.closed().await, Some((1002, "Expected 'filter' message".to_owned())));
}

#[tokio::test]
async fn events_come_in_with_and_without_the_handshake_and_each_once() {
    let (api, caller) = started(ApiOptions::default()).await;
    let mut modern = caller.authenticated("/events/in").await;
    let response = reqwest_websocket::Upgrade::upgrade(caller.request(Method::GET, "/events/in")).send().await.unwrap();
    let mut legacy = Socket(response.into_websocket().await.unwrap());
    let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
    modern.send(&event(one)).await;
    legacy.send(&event(two)).await;
    legacy.send(&event(one)).await;
    legacy.send(&event(Uuid::now_v7())).await;
    let all_in = |tables: &Tables| (tables.events().len() == 3).then_some(());
    api.store().wait_until("three events", BOUND, all_in).await.unwrap();
}

#[tokio::test]
async fn with_an_auth_string_events_do_not_come_in_without_the_handshake() {
    let options = ApiOptions { auth_string: Some("admin:pass".into()), ..ApiOptions::default() };
    let (_api, caller) = started(options).await;
    let response = reqwest_websocket::Upgrade::upgrade(caller.request(Method::GET, "/events/in")).send().await.unwrap();
    assert_eq!(response.status(), 403);
}

#[tokio::test]
async fn an_old_server_takes_the_handshake_for_a_broken_event() {
    let (api, caller) = started(ApiOptions::of_version(Version::new(3, 0, 11))).await;
    let response = reqwest_websocket::Upgrade::upgrade(caller.request(Method::GET, "/events/in")).send().await.unwrap();
    let mut socket = Socket(response.into_websocket().await.unwrap());
    socket.send(&json!({"type": "auth", "token": null})).await;
    assert_eq!(socket.closed().await, None, "dropped without a closing frame");
    assert!(api.store().events().is_empty());
}

#[tokio::test]
async fn events_are_stored_and_found_over_http_too() {
    let (_api, caller) = started(ApiOptions::default()).await;
    assert_eq!(caller.post("/events", &json!([event(Uuid::now_v7())])).await, (204, Value::Null));
    let query = json!({"filter": {"event": {"name": ["prefect.worker.started"]}}, "limit": 50});
    let (_, found) = caller.post("/events/filter", &query).await;
    assert_eq!((&found["total"], &found["next_page"]), (&json!(1), &Value::Null));
}

#[tokio::test]
async fn an_open_socket_is_closed_on_demand() {
    let (api, caller) = started(ApiOptions::default()).await;
    let mut socket = caller.authenticated("/events/in").await;
    let established = |tables: &Tables| tables.sockets().iter().any(|it| it.established).then_some(());
    api.store().wait_until("established", BOUND, established).await.unwrap();
    assert_eq!(api.close_sockets("/events/in", 1011, "transient_server_error"), 1);
    assert_eq!(socket.closed().await, Some((1011, "transient_server_error".to_owned())));
    let closed = |tables: &Tables| tables.sockets().iter().all(|it| !it.open).then_some(());
    api.store().wait_until("closed", BOUND, closed).await.unwrap();
}

//! The worker channel.

use serde_json::{Map, json};
use uuid::Uuid;

use super::*;
use crate::api::model::{CleanupProgress, CleanupRequest};

const PATH: &str = "/work_pools/pp/workers/connect";

fn frame(kind: &str, payload: &Value) -> Value {
    json!({"type": kind, "id": Uuid::now_v7(), "sent_at": "2026-11-21T01:44:58.420537Z", "payload": payload})
}

fn greeting() -> Value {
    json!({
        "consumer_id": Uuid::now_v7(),
        "worker_name": "w1",
        "worker_type": "process",
        "heartbeat_interval_seconds": 10,
        "supported_channel_versions": ["work_pool_worker_channel.v1"],
        "requested_capabilities": ["worker_heartbeat.v1", "work_pool_snapshot.v1"],
        "work_queue_names": [],
        "handled_cleanup_kinds": [],
        "max_cleanup_concurrency": 0,
        "create_pool_if_not_found": true,
        "default_base_job_template": {"job_configuration": {}, "variables": {}},
        "worker_metadata": null,
    })
}

fn cleaner() -> Value {
    let mut hello = greeting();
    hello["requested_capabilities"] = json!(["worker_heartbeat.v1", "work_pool_snapshot.v1", "cleanup_delivery.v1"]);
    hello["handled_cleanup_kinds"] = json!(["cancelling_timeout_teardown.v1"]);
    hello["max_cleanup_concurrency"] = json!(1);
    hello["default_base_job_template"] = json!({});
    hello
}

async fn greeted(caller: &Caller, path: &str, hello: &Value) -> (Socket, Value) {
    let mut socket = caller.authenticated(path).await;
    socket.send(&frame("worker.hello.v1", hello)).await;
    let ready = socket.next().await;
    assert_eq!(ready["type"], "worker.ready.v1");
    (socket, ready["payload"].clone())
}

async fn refused(caller: &Caller, path: &str, hello: &Value) -> Option<(u16, String)> {
    let mut socket = caller.authenticated(path).await;
    socket.send(&frame("worker.hello.v1", hello)).await;
    socket.closed().await
}

fn request() -> CleanupRequest {
    CleanupRequest {
        kind: "cancelling_timeout_teardown.v1".to_owned(),
        target: Map::from_iter([("flow_run_id".to_owned(), json!(Uuid::new_v4()))]),
        data: Map::new(),
        work_queue_id: None,
    }
}

#[tokio::test]
async fn a_greeting_is_answered_with_the_pool_and_fills_its_template() {
    let (api, caller) = started(ApiOptions::default()).await;
    let hello = greeting();
    let (mut socket, ready) = greeted(&caller, PATH, &hello).await;
    assert_eq!(ready["consumer_id"], hello["consumer_id"]);
    assert_eq!(ready["accepted_capabilities"], hello["requested_capabilities"]);
    assert_eq!(ready["resolved_work_queues"][0]["name"], "default");
    let initial = &ready["initial_snapshot"];
    assert_eq!((&initial["snapshot_sequence"], &initial["reason"]), (&json!(1), &json!("initial")));
    assert_eq!(initial["work_pool"]["base_job_template"], hello["default_base_job_template"]);
    assert_eq!(initial["work_pool"]["status"], "READY");

    let filled = socket.next().await;
    assert_eq!(
        (&filled["type"], &filled["payload"]["snapshot_sequence"]),
        (&json!("work_pool.snapshot.v1"), &json!(2))
    );
    api.store().set_pool_paused("pp", true).unwrap();
    let paused = socket.next().await;
    assert_eq!(paused["payload"]["snapshot_sequence"], 3);
    assert_eq!(paused["payload"]["work_pool"]["is_paused"], true);
    api.store().delete_pool("pp").unwrap();
    assert_eq!(socket.closed().await, Some((1008, "authorization_failed".to_owned())));
}

#[tokio::test]
async fn heartbeats_on_the_channel_are_booked_and_must_be_the_workers_own() {
    let (api, caller) = started(ApiOptions::default()).await;
    let mut hello = greeting();
    hello["default_base_job_template"] = json!({});
    let (mut socket, _) = greeted(&caller, PATH, &hello).await;
    let mut beat = json!({
        "consumer_id": hello["consumer_id"],
        "worker_name": "w1",
        "heartbeat_interval_seconds": 10,
    });
    socket.send(&frame("worker.heartbeat.v1", &beat)).await;
    let twice =
        |tables: &Tables| tables.workers_of("pp").ok()?.any(|worker| worker.channel_heartbeats == 2).then_some(());
    api.store().wait_until("two heartbeats", BOUND, twice).await.unwrap();
    beat["extra"] = json!(1);
    socket.send(&frame("worker.heartbeat.v1", &beat)).await;
    assert_eq!(socket.closed().await, Some((1002, "protocol_error".to_owned())));
}

#[tokio::test]
async fn a_worker_without_access_is_told_so() {
    let (_api, caller) = started(ApiOptions::default()).await;
    let no_access = Some((1008, "authorization_failed".to_owned()));
    let mut missing_queue = greeting();
    missing_queue["work_queue_names"] = json!(["qa"]);
    assert_eq!(refused(&caller, PATH, &missing_queue).await, no_access);
    let reserved = "/work_pools/prefect-own/workers/connect";
    assert_eq!(refused(&caller, reserved, &greeting()).await, no_access);
    let mut no_creation = greeting();
    no_creation["create_pool_if_not_found"] = json!(false);
    assert_eq!(refused(&caller, "/work_pools/new/workers/connect", &no_creation).await, no_access);
    let (_socket, ready) = greeted(&caller, "/work_pools/new/workers/connect", &greeting()).await;
    assert_eq!(ready["initial_snapshot"]["work_pool"]["name"], "new");
    let mut future = greeting();
    future["supported_channel_versions"] = json!(["work_pool_worker_channel.v2"]);
    assert_eq!(refused(&caller, PATH, &future).await, Some((1008, "unsupported_version".to_owned())));
    let mut extra = greeting();
    extra["nickname"] = json!("w");
    assert_eq!(refused(&caller, PATH, &extra).await, Some((1002, "protocol_error".to_owned())));
}

#[tokio::test]
async fn there_is_no_channel_without_the_sub_protocol_or_on_an_old_server() {
    let (_api, caller) = started(ApiOptions::default()).await;
    let plain = reqwest_websocket::Upgrade::upgrade(caller.request(Method::GET, PATH)).send().await.unwrap();
    assert_eq!(plain.status(), 403);
    for options in
        [ApiOptions::of_version(Version::new(3, 7, 1)), ApiOptions { worker_channel: false, ..ApiOptions::default() }]
    {
        let (_api, caller) = started(options).await;
        let asked = reqwest_websocket::Upgrade::upgrade(caller.request(Method::GET, PATH)).protocols(["prefect"]);
        assert_eq!(asked.send().await.unwrap().status(), 403);
    }
}

#[tokio::test]
async fn a_wrong_token_is_told_no_more_than_that() {
    let options = ApiOptions { auth_string: Some("admin:pass".into()), ..ApiOptions::default() };
    let (_api, caller) = started(options).await;
    let mut socket = caller.socket(PATH).await;
    socket.send(&json!({"type": "auth", "token": "guess"})).await;
    assert_eq!(socket.closed().await, Some((1008, "authentication_failed".to_owned())));
}

#[tokio::test]
async fn a_clean_up_is_handed_out_renewed_and_acknowledged() {
    let (api, caller) = started(ApiOptions::default()).await;
    let (mut socket, ready) = greeted(&caller, PATH, &cleaner()).await;
    assert_eq!(ready["effective_max_cleanup_concurrency"], 1);
    let message = api.store().enqueue_cleanup("pp", request()).unwrap();
    let second = api.store().enqueue_cleanup("pp", request()).unwrap();
    let delivered = socket.next().await;
    assert_eq!(delivered["type"], "cleanup.message.v1");
    assert_eq!(
        (&delivered["payload"]["message_id"], &delivered["payload"]["delivery_count"]),
        (&json!(message), &json!(1))
    );
    let mut about = json!({"message_id": message, "reservation_token": delivered["payload"]["reservation_token"]});
    let renew = frame("cleanup.renew.v1", &about);
    socket.send(&renew).await;
    let renewed = socket.next().await;
    assert_eq!(renewed["payload"]["request_frame_id"], renew["id"]);
    assert_eq!(
        (&renewed["payload"]["operation"], &renewed["payload"]["status"]),
        (&json!("renew"), &json!("accepted"))
    );
    assert_ne!(renewed["payload"]["lease_expires_at"], Value::Null);

    about["reservation_token"] = json!("guess");
    socket.send(&frame("cleanup.ack.v1", &about)).await;
    assert_eq!(socket.next().await["payload"]["status"], "invalid_token");
    about["reservation_token"] = delivered["payload"]["reservation_token"].clone();
    socket.send(&frame("cleanup.ack.v1", &about)).await;
    let acknowledged = socket.next().await;
    assert_eq!(acknowledged["payload"]["status"], "accepted");
    let next = socket.next().await;
    assert_eq!(next["payload"]["message_id"], json!(second), "a free hand gets the next one");
    socket.send(&frame("cleanup.ack.v1", &about)).await;
    assert_eq!(socket.next().await["payload"]["status"], "not_found");
    let stored = api.store().read(|tables| tables.cleanup(message).cloned()).unwrap();
    assert_eq!(stored.progress, CleanupProgress::Acknowledged);
    let operations: Vec<_> = stored.operations.iter().map(|it| (it.operation.as_str(), it.status)).collect();
    assert_eq!(
        operations,
        [("renew", "accepted"), ("ack", "invalid_token"), ("ack", "accepted"), ("ack", "not_found")]
    );
}

#[tokio::test]
async fn a_released_clean_up_is_handed_out_again_and_given_up_in_the_end() {
    let (api, caller) = started(ApiOptions { cleanup_attempts: 2, ..ApiOptions::default() }).await;
    let (mut socket, _) = greeted(&caller, PATH, &cleaner()).await;
    let message = api.store().enqueue_cleanup("pp", request()).unwrap();
    for (count, status) in [(1, "accepted"), (2, "dead_lettered")] {
        let delivered = socket.next().await;
        assert_eq!(delivered["payload"]["delivery_count"], count);
        let token = &delivered["payload"]["reservation_token"];
        let release = json!({"message_id": message, "reservation_token": token, "reason": "handler_failed"});
        socket.send(&frame("cleanup.release.v1", &release)).await;
        assert_eq!(socket.next().await["payload"]["status"], status);
    }
    let stored = api.store().read(|tables| tables.cleanup(message).cloned()).unwrap();
    assert_eq!(stored.progress, CleanupProgress::DeadLettered);
    assert_eq!(stored.operations[0].reason.as_deref(), Some("handler_failed"));
}

#[tokio::test]
async fn a_silent_worker_loses_its_clean_up_to_another() {
    let options = ApiOptions { cleanup_lease: Duration::from_millis(50), ..ApiOptions::default() };
    let (api, caller) = started(options).await;
    let (mut silent, _) = greeted(&caller, PATH, &cleaner()).await;
    let message = api.store().enqueue_cleanup("pp", request()).unwrap();
    let first = silent.next().await;
    drop(silent);
    let (mut other, _) = greeted(&caller, PATH, &cleaner()).await;
    let again = other.next().await;
    assert_eq!((&again["payload"]["message_id"], &again["payload"]["delivery_count"]), (&json!(message), &json!(2)));
    assert_ne!(again["payload"]["reservation_token"], first["payload"]["reservation_token"]);
}

#[tokio::test]
async fn a_cancellation_that_times_out_ends_the_run_and_asks_a_worker_to_clean_up() {
    let (api, caller) = started(ApiOptions::default()).await;
    let (mut socket, _) = greeted(&caller, PATH, &cleaner()).await;
    let run = api.store().schedule_run(deployed(api.store())).unwrap();
    caller.post(&set_state_path(run), &state("PENDING", "Pending")).await;
    caller.patch(&format!("/flow_runs/{run}"), &json!({"infrastructure_pid": "c1"})).await;
    api.store().cancel_run(run).unwrap();
    assert!(api.store().time_out_cancellation(run).unwrap().is_some());
    let delivered = socket.next().await;
    assert_eq!(delivered["payload"]["target"], json!({"flow_run_id": run, "infrastructure_pid": "c1"}));
    let stored = api.store().run(run).unwrap();
    assert_eq!(stored.state_name(), "Cancelled");
    assert_eq!(api.store().time_out_cancellation(run), Ok(None));
}

#[tokio::test]
async fn a_worker_without_the_capability_has_no_say_in_clean_ups() {
    let (api, caller) = started(ApiOptions::default()).await;
    let mut hello = greeting();
    hello["default_base_job_template"] = json!({});
    let (mut socket, _) = greeted(&caller, PATH, &hello).await;
    let message = api.store().enqueue_cleanup("pp", request()).unwrap();
    socket.send(&frame("cleanup.ack.v1", &json!({"message_id": message, "reservation_token": "t"}))).await;
    assert_eq!(socket.next().await["payload"]["status"], "unauthorized");
}

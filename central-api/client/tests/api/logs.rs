use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use central_api_client::{Client, ClientSettings, LogSettings, LogShipper};
use central_api_wire::log::LogLine;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use worker_core::ids::{RunId, WorkerId};

use crate::support::{BOUND, Recorded, Reply, Server, cloud_settings, settings};

pub(crate) fn run(number: u128) -> RunId {
    RunId(Uuid::from_u128(number))
}

pub(crate) fn line(of: RunId, message: &str) -> LogLine {
    LogLine {
        name: "prefect.flow_runs.worker".to_owned(),
        level: 20,
        message: message.to_owned(),
        timestamp: Timestamp::UNIX_EPOCH,
        flow_run_id: Some(of),
        worker_id: Some(WorkerId(Uuid::nil())),
    }
}

pub(crate) fn messages(requests: &[Recorded]) -> Vec<Vec<String>> {
    let message = |line: &Value| line["message"].as_str().unwrap().to_owned();
    requests.iter().map(|request| request.json().as_array().unwrap().iter().map(message).collect()).collect()
}

pub(crate) fn created() -> Reply {
    Reply::json(201, &Value::Null)
}

#[tokio::test]
async fn c065_lines_are_shipped_in_batches_with_their_run_and_no_worker() {
    let server = Server::replying([created(), created()]).await;
    let stop = CancellationToken::new();
    let (logs, task) = LogShipper::start(server.client(), stop.clone(), None);
    logs.log(line(run(1), "one"));
    logs.log(line(run(2), "two"));
    assert!(logs.flush(BOUND).await);
    assert!(logs.flush_run(run(1)).await, "nothing of it waits");
    let requests = server.requests();
    assert_eq!(requests[0].path, "/logs/");
    assert_eq!(messages(&requests).concat(), ["one", "two"]);
    let first = &requests[0].json()[0];
    assert_eq!(first["flow_run_id"], run(1).to_string());
    assert!(first.get("worker_id").is_none(), "{first}");
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn lines_are_shipped_after_the_interval_without_being_asked_for() {
    let server = Server::replying([created()]).await;
    let (logs, _task) = LogShipper::start(server.client(), CancellationToken::new(), None);
    logs.log(line(run(1), "one"));
    server.requests_until(|requests| requests.len() == 1).await;
}

#[tokio::test]
async fn cloud_is_told_the_worker_and_gets_shorter_lines() {
    let server = Server::replying([created()]).await;
    let settings = ClientSettings { csrf: false, ..cloud_settings(server.url()) };
    let (logs, _task) = LogShipper::start(Client::new(settings).unwrap(), CancellationToken::new(), None);
    logs.log(line(run(1), &"x".repeat(30_000)));
    assert!(logs.flush(BOUND).await);
    let request = &server.requests()[0];
    assert_eq!(request.body.len(), 25_000 + 2);
    assert_eq!(request.json()[0]["worker_id"], Uuid::nil().to_string());
}

#[tokio::test]
async fn lines_outlive_an_outage_and_stay_in_order() {
    let busy = || Reply::json(503, &json!({ "exception_message": "Service Unavailable" })).at_once();
    let unauthorized = Reply::json(401, &json!({ "exception_message": "Unauthorized" })).at_once();
    let server = Server::replying([busy(), busy(), busy(), unauthorized, created(), created()]).await;
    let mut settings = settings(server.url());
    settings.retry.jitter_factor = 0.0;
    let (logs, _task) = LogShipper::start(Client::new(settings).unwrap(), CancellationToken::new(), None);
    logs.log(line(run(1), "one"));
    server.requests_until(|requests| !requests.is_empty()).await;
    logs.log(line(run(1), "two"));
    assert!(logs.flush(BOUND).await);
    let sent = messages(&server.requests());
    assert!(sent.len() >= 5, "four failures and a success: {sent:?}");
    let delivered: Vec<String> = sent[4..].concat();
    assert_eq!(delivered, ["one", "two"]);
}

#[tokio::test]
async fn the_end_of_a_run_does_not_wait_for_logs_while_none_are_delivered() {
    let is_up = Arc::new(AtomicBool::new(false));
    let create = {
        let is_up = Arc::clone(&is_up);
        move || async move {
            if is_up.load(Ordering::SeqCst) { StatusCode::CREATED } else { StatusCode::SERVICE_UNAVAILABLE }
        }
    };
    let server = Server::routed(Router::new().route("/logs/", post(create))).await;
    let (logs, _task) = LogShipper::start(server.client(), CancellationToken::new(), None);
    logs.log(line(run(1), "one"));
    // The first delivery fails at once, and the next is tried 2 s later: whoever waited would wait longer than this.
    let began = std::time::Instant::now();
    assert!(!logs.flush_run(run(1)).await);
    assert!(!logs.flush_run(run(1)).await);
    assert!(began.elapsed() < std::time::Duration::from_millis(1500), "{:?}", began.elapsed());
    assert!(logs.flush_run(run(2)).await, "nothing of it waits");
    is_up.store(true, Ordering::SeqCst);
    assert!(logs.flush(BOUND).await);
    logs.log(line(run(1), "two"));
    assert!(logs.flush_run(run(1)).await, "the outage is over");
}

/// A server that refuses a batch with the word "odd" in it, as the real one refuses a batch for one line.
async fn picky_server() -> Server {
    let create = |body: Bytes| async move {
        if String::from_utf8_lossy(&body).contains("odd") {
            (StatusCode::UNPROCESSABLE_ENTITY, r#"{"exception_message":"Invalid request received."}"#)
        } else {
            (StatusCode::CREATED, "null")
        }
    };
    Server::routed(Router::new().route("/logs/", post(create))).await
}

#[tokio::test]
async fn a_line_that_the_api_refuses_costs_no_other_and_is_told_of() {
    let server = picky_server().await;
    let (logs, _task) = LogShipper::start(server.client(), CancellationToken::new(), None);
    for number in 0..20 {
        logs.log(line(run(1), &number.to_string()));
    }
    logs.log(line(run(2), "odd"));
    for number in 20..40 {
        logs.log(line(run(1), &number.to_string()));
    }
    assert!(logs.flush(BOUND).await);
    // The notice was queued after the flush began.
    assert!(logs.flush(BOUND).await);
    let requests = server.requests();
    let delivered: Vec<Recorded> =
        requests.into_iter().filter(|request| !String::from_utf8_lossy(&request.body).contains("odd")).collect();
    let mut delivered = messages(&delivered).concat();
    assert_eq!(delivered.pop().unwrap(), "Log lines lost here because the API did not take them: 1");
    assert_eq!(delivered, (0..40).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_waits_is_shipped_at_the_stop() {
    let server = Server::replying([created()]).await;
    let mut settings = settings(server.url());
    settings.log.batch_interval = std::time::Duration::from_hours(1);
    let stop = CancellationToken::new();
    let (logs, task) = LogShipper::start(Client::new(settings).unwrap(), stop.clone(), None);
    logs.log(line(run(1), "last words"));
    stop.cancel();
    task.await.unwrap();
    assert_eq!(messages(&server.requests()), [["last words"]]);
    assert!(logs.flush(BOUND).await, "everything was delivered");
    logs.log(line(run(1), "too late"));
}

#[tokio::test]
async fn nothing_is_shipped_when_it_is_turned_off() {
    let server = Server::replying([]).await;
    let log = LogSettings { enabled: false, ..LogSettings::default() };
    let client = Client::new(ClientSettings { log, ..settings(server.url()) }).unwrap();
    let (logs, task) = LogShipper::start(client, CancellationToken::new(), None);
    logs.log(line(run(1), "one"));
    assert!(logs.flush(BOUND).await);
    task.await.unwrap();
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn lines_lost_in_a_long_outage_are_counted_in_the_log_of_their_run() {
    let is_up = Arc::new(AtomicBool::new(false));
    let taken: Arc<Mutex<Vec<LogLine>>> = Arc::default();
    let create = {
        let (is_up, taken) = (Arc::clone(&is_up), Arc::clone(&taken));
        move |Json(lines): Json<Vec<LogLine>>| async move {
            if !is_up.load(Ordering::SeqCst) {
                return StatusCode::SERVICE_UNAVAILABLE;
            }
            taken.lock().unwrap().extend(lines);
            StatusCode::CREATED
        }
    };
    let routes = Router::new().route("/logs/", post(create).layer(DefaultBodyLimit::disable()));
    let server = Server::routed(routes).await;
    let (logs, _task) = LogShipper::start(server.client(), CancellationToken::new(), None);
    logs.log(line(run(1), "first"));
    server.requests_until(|requests| !requests.is_empty()).await;
    let many = 30_000;
    for _ in 1..many {
        logs.log(line(run(1), "x"));
    }
    is_up.store(true, Ordering::SeqCst);
    assert!(logs.flush(BOUND).await);
    assert!(logs.flush(BOUND).await, "the notice was queued after the first flush began");
    let taken = taken.lock().unwrap();
    let lost = |line: &LogLine| line.message.rsplit_once("take them: ").map(|(_, lost)| lost.parse::<usize>().unwrap());
    let told: Vec<usize> = taken.iter().filter_map(lost).collect();
    assert_eq!(told.len(), 1, "told once");
    assert_eq!(taken.len() - 1 + told[0], many, "every line is either there or counted");
}

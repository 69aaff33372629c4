//! What the API did not take outlives the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::extract::ws::WebSocket;
use axum::http::StatusCode;
use axum::routing::{any, post};
use camino::{Utf8Path, Utf8PathBuf};
use central_api_client::{Client, EventEmitter, LogShipper, Spool};
use central_api_wire::event::Event;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::logs::{created, line, messages, run};
use crate::support::{BOUND, Recorded, Server, Sockets, settings, try_receive};
use crate::websockets::event;

/// A folder that does not exist yet.
fn folder() -> (TempDir, Utf8PathBuf) {
    let root = TempDir::new().unwrap();
    let folder = Utf8PathBuf::from_path_buf(root.path().join("spool")).unwrap();
    (root, folder)
}

/// A client of an API that cannot be reached.
fn cut_off() -> Client {
    Client::new(settings("http://127.0.0.1:1/api".parse().unwrap())).unwrap()
}

fn spooled(folder: &Utf8Path) -> usize {
    let files = std::fs::read_dir(folder).into_iter().flatten();
    files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap().lines().count()).sum()
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let looking = async {
        while !is_so() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(BOUND, looking).await.expect(what);
}

/// Whether and when the API takes logs, and what it took.
async fn switched_server() -> (Server, Arc<AtomicBool>) {
    let is_up = Arc::new(AtomicBool::new(false));
    let create = {
        let is_up = Arc::clone(&is_up);
        move || async move {
            let status =
                if is_up.load(Ordering::SeqCst) { StatusCode::CREATED } else { StatusCode::SERVICE_UNAVAILABLE };
            (status, [("retry-after", "0")])
        }
    };
    let routes = Router::new().route("/logs/", post(create).layer(DefaultBodyLimit::disable()));
    (Server::routed(routes).await, is_up)
}

async fn events_of(mut socket: WebSocket) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(frame) = try_receive(&mut socket).await {
        events.push(serde_json::from_value(frame).unwrap());
    }
    events
}

fn taken(requests: &[Recorded]) -> Vec<String> {
    messages(requests).concat()
}

#[tokio::test]
async fn lines_of_an_outage_are_delivered_by_the_next_process_in_order_and_once() {
    let (_root, folder) = folder();
    let stop = CancellationToken::new();
    let (logs, task) = LogShipper::start(cut_off(), stop.clone(), Some(Spool::open(folder.clone())));
    logs.log(line(run(1), "one"));
    until("the first line on disk", || spooled(&folder) == 1).await;
    assert!(!logs.flush_run(run(1)).await, "nobody waits for the end of an outage");
    logs.log(line(run(2), "two"));
    stop.cancel();
    let began = Instant::now();
    logs.log(line(run(1), "three"));
    task.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(4), "what is on disk need not be waited for: {:?}", began.elapsed());
    let server = Server::replying([created(), created(), created()]).await;
    let stop = CancellationToken::new();
    let (logs, task) = LogShipper::start(server.client(), stop.clone(), Some(Spool::open(folder.clone())));
    logs.log(line(run(3), "four"));
    assert!(logs.flush(BOUND).await);
    stop.cancel();
    task.await.unwrap();
    assert_eq!(taken(&server.requests()), ["one", "two", "three", "four"]);
    assert!(!folder.exists(), "nothing is left");
}

#[tokio::test]
async fn lines_of_an_outage_outlive_a_killed_process() {
    let (_root, folder) = folder();
    let (logs, task) = LogShipper::start(cut_off(), CancellationToken::new(), Some(Spool::open(folder.clone())));
    for number in 0..10 {
        logs.log(line(run(1), &number.to_string()));
        until("the line on disk", || spooled(&folder) == number + 1).await;
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    let (server, is_up) = switched_server().await;
    is_up.store(true, Ordering::SeqCst);
    let (logs, _task) = LogShipper::start(server.client(), CancellationToken::new(), Some(Spool::open(folder.clone())));
    assert!(logs.flush(BOUND).await);
    assert_eq!(taken(&server.requests()), (0..10).map(|number| number.to_string()).collect::<Vec<_>>());
    until("an empty spool", || !folder.exists()).await;
}

#[tokio::test]
async fn an_outage_may_bring_more_lines_than_the_queue_holds() {
    let (_root, folder) = folder();
    let (server, is_up) = switched_server().await;
    let (logs, _task) = LogShipper::start(server.client(), CancellationToken::new(), Some(Spool::open(folder.clone())));
    for number in 0..30_000_usize {
        logs.log(line(run(1), &number.to_string()));
        if number % 10_000 == 0 {
            until("the lines on disk", || spooled(&folder) == number + 1).await;
        }
    }
    until("the lines on disk", || spooled(&folder) == 30_000).await;
    let refused = server.requests().len();
    is_up.store(true, Ordering::SeqCst);
    assert!(logs.flush(BOUND).await);
    let mut taken = taken(&server.requests()[refused..]);
    // The first of these requests may have been refused still.
    taken.drain(..taken.len() - 30_000);
    assert!(taken.iter().enumerate().all(|(number, message)| *message == number.to_string()), "in order");
    until("an empty spool", || !folder.exists()).await;
}

#[tokio::test]
async fn the_disk_is_left_alone_while_the_api_takes_lines() {
    let (_root, folder) = folder();
    let server = Server::replying([created(), created()]).await;
    let stop = CancellationToken::new();
    let (logs, task) = LogShipper::start(server.client(), stop.clone(), Some(Spool::open(folder.clone())));
    logs.log(line(run(1), "one"));
    assert!(logs.flush(BOUND).await);
    logs.log(line(run(1), "two"));
    stop.cancel();
    task.await.unwrap();
    assert_eq!(taken(&server.requests()), ["one", "two"]);
    assert!(!folder.exists());
}

#[tokio::test]
async fn lines_wait_in_memory_where_the_folder_cannot_be_made() {
    let (_root, folder) = folder();
    std::fs::write(&folder, "a file").unwrap();
    let (server, is_up) = switched_server().await;
    let spool = Spool::open(folder.join("logs"));
    let (logs, _task) = LogShipper::start(server.client(), CancellationToken::new(), Some(spool));
    logs.log(line(run(1), "one"));
    server.requests_until(|requests| !requests.is_empty()).await;
    logs.log(line(run(1), "two"));
    is_up.store(true, Ordering::SeqCst);
    assert!(logs.flush(BOUND).await);
    let requests = server.requests();
    let delivered = taken(&requests[1..]);
    assert!(delivered.ends_with(&["one".to_owned(), "two".to_owned()]), "{delivered:?}");
}

#[tokio::test]
async fn events_of_an_outage_are_sent_by_the_next_process_in_order_with_their_ids() {
    let (_root, folder) = folder();
    let stop = CancellationToken::new();
    let (events, task) = EventEmitter::start(cut_off(), stop.clone(), Some(Spool::open(folder.clone())));
    let sent = ["one", "two", "three", "four"].map(event);
    events.emit(sent[0].clone());
    until("the first event on disk", || spooled(&folder) == 1).await;
    events.emit(sent[1].clone());
    until("the second event on disk", || spooled(&folder) == 2).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled(), "as good as killed");
    let (events, task) = EventEmitter::start(cut_off(), stop.clone(), Some(Spool::open(folder.clone())));
    events.emit(sent[2].clone());
    stop.cancel();
    task.await.unwrap();
    assert_eq!(spooled(&folder), 3);
    let (routes, mut sockets) = Sockets::accepting("/events/in", true);
    let server = Server::routed(routes).await;
    let stop = CancellationToken::new();
    let (events, task) = EventEmitter::start(server.client(), stop.clone(), Some(Spool::open(folder.clone())));
    events.emit(sent[3].clone());
    let received = tokio::spawn(events_of(sockets.next().await));
    assert!(events.flush(BOUND).await);
    stop.cancel();
    task.await.unwrap();
    assert_eq!(received.await.unwrap(), sent);
    assert!(!folder.exists(), "nothing is left");
}

#[tokio::test]
async fn events_of_an_outage_go_by_http_where_the_websocket_is_refused() {
    let (_root, folder) = folder();
    let stop = CancellationToken::new();
    let (events, task) = EventEmitter::start(cut_off(), stop.clone(), Some(Spool::open(folder.clone())));
    events.emit(event("one"));
    events.emit(event("two"));
    stop.cancel();
    task.await.unwrap();
    assert_eq!(spooled(&folder), 2);
    let refuse = any(|| async { StatusCode::FORBIDDEN });
    let create = post(|| async { StatusCode::NO_CONTENT });
    let server = Server::routed(Router::new().route("/events/in", refuse).route("/events", create)).await;
    let (events, _task) =
        EventEmitter::start(server.client(), CancellationToken::new(), Some(Spool::open(folder.clone())));
    assert!(events.flush(BOUND).await);
    let posted = server.requests().last().unwrap().json();
    assert_eq!((&posted[0]["event"], &posted[1]["event"]), (&"one".into(), &"two".into()));
    until("an empty spool", || !folder.exists()).await;
}

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{any, post};
use central_api_client::EventEmitter;
use tokio_util::sync::CancellationToken;

use crate::support::{BOUND, Server, Sockets, close, receive, try_receive};
use crate::websockets::event;

/// Reads on, so that pings are answered, until the websocket ends; the names of the events that came.
async fn names(mut socket: axum::extract::ws::WebSocket) -> Vec<String> {
    let mut names = Vec::new();
    while let Some(frame) = try_receive(&mut socket).await {
        names.push(frame["event"].as_str().unwrap().to_owned());
    }
    names
}

#[tokio::test]
async fn the_socket_is_opened_with_the_first_event_and_kept() {
    let (routes, mut sockets) = Sockets::accepting("/events/in", true);
    let server = Server::routed(routes).await;
    let stop = CancellationToken::new();
    let (events, task) = EventEmitter::start(server.client(), stop.clone(), None);
    assert!(events.flush(BOUND).await, "nothing to wait for");
    assert!(server.requests().is_empty());
    events.emit(event("one"));
    let received = tokio::spawn(names(sockets.next().await));
    assert!(events.flush(BOUND).await);
    events.emit(event("two"));
    assert!(events.flush(BOUND).await);
    stop.cancel();
    task.await.unwrap();
    assert_eq!(received.await.unwrap(), ["one", "two"]);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn events_that_were_not_confirmed_are_sent_again_after_a_cut() {
    let (routes, mut sockets) = Sockets::accepting("/events/in", true);
    let server = Server::routed(routes).await;
    let stop = CancellationToken::new();
    let (events, task) = EventEmitter::start(server.client(), stop.clone(), None);
    events.emit(event("confirmed"));
    let mut first = sockets.next().await;
    assert_eq!(receive(&mut first).await["event"], "confirmed");
    let flushing = tokio::spawn({
        let events = events.clone();
        async move { events.flush(BOUND).await }
    });
    // Reading on answers the ping that confirms.
    let reading = tokio::spawn(async move { (receive(&mut first).await, first) });
    assert!(flushing.await.unwrap());
    events.emit(event("unconfirmed"));
    let (frame, first) = reading.await.unwrap();
    assert_eq!(frame["event"], "unconfirmed");
    drop(first);
    let received = tokio::spawn(names(sockets.next().await));
    events.emit(event("later"));
    assert!(events.flush(BOUND).await);
    stop.cancel();
    task.await.unwrap();
    assert_eq!(received.await.unwrap(), ["unconfirmed", "later"]);
}

#[tokio::test]
async fn where_the_websocket_is_refused_events_go_by_http() {
    let refuse = any(|| async { StatusCode::FORBIDDEN });
    let create = post(|| async { StatusCode::NO_CONTENT });
    let server = Server::routed(Router::new().route("/events/in", refuse).route("/events", create)).await;
    let (events, _task) = EventEmitter::start(server.client(), CancellationToken::new(), None);
    events.emit(event("one"));
    assert!(events.flush(BOUND).await);
    events.emit(event("two"));
    assert!(events.flush(BOUND).await);
    let requests = server.requests();
    let paths: Vec<&str> = requests.iter().map(|request| request.path.as_str()).collect();
    assert_eq!(paths, ["/events/in", "/events", "/events"]);
    assert_eq!(requests[1].json()[0]["event"], "one");
}

#[tokio::test]
async fn a_server_that_accepts_the_websocket_and_wants_authentication_is_asked_by_http() {
    let (routes, mut sockets) = Sockets::accepting("/events/in", true);
    let server = Server::routed(routes.route("/events", post(|| async { StatusCode::NO_CONTENT }))).await;
    let (events, _task) = EventEmitter::start(server.client(), CancellationToken::new(), None);
    events.emit(event("one"));
    close(sockets.next().await, 1002, "").await;
    assert!(events.flush(BOUND).await);
    assert_eq!(server.requests().last().unwrap().path, "/events");
}

#[tokio::test]
async fn c040_a_server_that_takes_no_events_at_all_is_left_alone() {
    let server =
        Server::routed(Router::new().fallback(|| async { (StatusCode::NOT_FOUND, r#"{"detail":"Not Found"}"#) })).await;
    let stop = CancellationToken::new();
    let (events, task) = EventEmitter::start(server.client(), stop.clone(), None);
    for _ in 0..3 {
        events.emit(event("x"));
        assert!(events.flush(BOUND).await, "given up, and nobody waits");
    }
    assert_eq!(server.requests().len(), 2, "one websocket, one POST, and no more");
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn c040_an_unreachable_api_delays_neither_emission_nor_the_end() {
    let server = Server::replying([]).await;
    let mut settings = crate::support::settings(server.url());
    settings.api_url.set_port(Some(1)).unwrap();
    let client = central_api_client::Client::new(settings).unwrap();
    let stop = CancellationToken::new();
    let (events, task) = EventEmitter::start(client, stop.clone(), None);
    for _ in 0..20_000 {
        events.emit(event("x"));
    }
    assert!(!events.flush(Duration::from_millis(1)).await);
    tokio::time::pause();
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(6), task).await.expect("the end is bounded").unwrap();
    assert!(!events.flush(BOUND).await, "they were not delivered");
}

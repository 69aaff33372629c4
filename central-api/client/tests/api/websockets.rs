use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;
use central_api_client::{Channel, Client, ClientSettings, Credentials, Disposition, EventsOut, StreamError};
use central_api_wire::channel::Frame;
use central_api_wire::event::{Event, EventFilter, EventNameFilter};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::support::{Server, Sockets, close, cloud_settings, receive, send, settings};

pub(crate) fn event(name: &str) -> Event {
    Event {
        occurred: Timestamp::UNIX_EPOCH,
        event: name.to_owned(),
        resource: [("prefect.resource.id".to_owned(), "prefect.worker.process.w".to_owned())].into(),
        related: Vec::new(),
        payload: Map::new(),
        id: Uuid::now_v7(),
        follows: None,
    }
}

fn with(server: &Server, credentials: Credentials) -> Client {
    Client::new(ClientSettings { credentials, ..settings(server.url()) }).unwrap()
}

fn auth_string() -> Credentials {
    Credentials::AuthString("admin:pass".into())
}

#[tokio::test]
async fn events_go_out_at_once_where_no_auth_string_is_set() {
    let (routes, mut sockets) = Sockets::accepting("/events/in", true);
    let server = Server::routed(routes).await;
    let mut stream = server.client().connect_events_in().await.unwrap();
    stream.send(&event("prefect.worker.started")).await.unwrap();
    let mut socket = sockets.next().await;
    assert_eq!(receive(&mut socket).await["event"], "prefect.worker.started");
    let request = &server.requests()[0];
    assert_eq!(request.header("sec-websocket-protocol"), None);
    assert_eq!(request.header("user-agent"), Some("prefect/3.8.0 (API 0.8.4)"));
}

#[tokio::test]
async fn c002_an_auth_string_is_sent_raw_in_the_first_frame_and_as_basic_on_the_upgrade() {
    let (routes, mut sockets) = Sockets::accepting("/events/in", true);
    let server = Server::routed(routes).await;
    let client = with(&server, auth_string());
    let opening = tokio::spawn(async move { client.connect_events_in().await });
    let (mut socket, token) = sockets.next_authenticated().await;
    assert_eq!(token, "admin:pass");
    let mut stream = opening.await.unwrap().unwrap();
    stream.send(&event("prefect.worker.started")).await.unwrap();
    assert_eq!(receive(&mut socket).await["event"], "prefect.worker.started");
    let request = &server.requests()[0];
    assert_eq!(request.header("sec-websocket-protocol"), Some("prefect"));
    assert_eq!(request.header("authorization"), Some("Basic YWRtaW46cGFzcw=="));
}

#[tokio::test]
async fn an_old_server_gets_events_the_old_way_although_an_auth_string_is_set() {
    let (routes, mut sockets) = Sockets::accepting("/events/in", false);
    let server = Server::routed(routes).await;
    let mut stream = with(&server, auth_string()).connect_events_in().await.unwrap();
    stream.send(&event("x")).await.unwrap();
    drop(sockets.next().await);
    assert_eq!(receive(&mut sockets.next().await).await["event"], "x");
}

#[tokio::test]
async fn an_old_server_that_drops_the_socket_on_the_auth_frame_gets_events_the_old_way() {
    let (routes, mut sockets) = Sockets::accepting("/events/in", true);
    let server = Server::routed(routes).await;
    let client = with(&server, auth_string());
    let opening = tokio::spawn(async move { client.connect_events_in().await });
    let mut first = sockets.next().await;
    receive(&mut first).await;
    drop(first);
    opening.await.unwrap().unwrap();
    assert_eq!(server.requests().len(), 2);
    assert_eq!(server.requests()[1].header("sec-websocket-protocol"), None);
}

#[tokio::test]
async fn a_wrong_auth_string_is_a_refusal_and_has_no_fall_back() {
    let (routes, mut sockets) = Sockets::accepting("/events/in", true);
    let server = Server::routed(routes).await;
    let client = with(&server, auth_string());
    let opening = tokio::spawn(async move { client.connect_events_in().await });
    let mut socket = sockets.next().await;
    receive(&mut socket).await;
    close(socket, 1008, "Invalid token").await;
    let error = opening.await.unwrap().err().unwrap();
    assert!(matches!(&error, StreamError::Closed { code: 1008, reason } if reason == "Invalid token"), "{error:?}");
    assert!(error.is_refusal());
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn cloud_takes_the_key_from_the_upgrade_for_events_in_and_from_the_frame_for_events_out() {
    let (into, mut in_sockets) = Sockets::accepting("/events/in", true);
    let (out, mut out_sockets) = Sockets::accepting("/events/out", true);
    let server = Server::routed(into.merge(out)).await;
    let client = Client::new(cloud_settings(server.url())).unwrap();
    let _stream = client.connect_events_in().await.unwrap();
    drop(in_sockets.next().await);
    let request = server.requests().remove(0);
    assert_eq!(request.header("authorization"), Some("bearer pnu_key"));
    assert_eq!(request.header("sec-websocket-protocol"), None);
    let opening = tokio::spawn(async move { client.connect_events_out(&EventFilter::default()).await });
    let (_socket, token) = out_sockets.next_authenticated().await;
    assert_eq!(token, "pnu_key");
    opening.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_confirmation_is_a_round_trip() {
    let (routes, mut sockets) = Sockets::accepting("/events/in", true);
    let server = Server::routed(routes).await;
    let mut stream = server.client().connect_events_in().await.unwrap();
    let mut socket = sockets.next().await;
    stream.send(&event("x")).await.unwrap();
    let answering = tokio::spawn(async move {
        receive(&mut socket).await;
        // The next read answers the ping; it ends with the stream.
        drop(socket.recv().await);
        drop(socket.recv().await);
    });
    stream.confirm().await.unwrap();
    drop(stream);
    answering.await.unwrap();
}

async fn events_out(filter: EventFilter) -> (EventsOut, axum::extract::ws::WebSocket, Server) {
    let (routes, mut sockets) = Sockets::accepting("/events/out", true);
    let server = Server::routed(routes).await;
    let client = server.client();
    let opening = tokio::spawn(async move { client.connect_events_out(&filter).await });
    let (socket, token) = sockets.next_authenticated().await;
    assert_eq!(token, Value::Null);
    (opening.await.unwrap().unwrap(), socket, server)
}

#[tokio::test]
async fn events_out_asks_with_a_filter_and_leaves_out_what_it_does_not_know() {
    let name = EventNameFilter { name: Some(vec!["prefect.flow-run.Cancelling".to_owned()]) };
    let (mut stream, mut socket, _server) =
        events_out(EventFilter { event: Some(name), ..EventFilter::default() }).await;
    let frame = receive(&mut socket).await;
    assert_eq!(frame, json!({ "type": "filter", "filter": { "event": { "name": ["prefect.flow-run.Cancelling"] } } }));
    send(&mut socket, &json!({ "type": "news", "x": 1 })).await;
    send(&mut socket, &json!({ "type": "event", "event": { "odd": true } })).await;
    send(&mut socket, &json!({ "type": "event", "event": event("wanted") })).await;
    assert_eq!(stream.next().await.unwrap().unwrap().event, "wanted");
    close(socket, 1000, "").await;
    assert!(stream.next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_restarting_server_ends_events_out_with_an_error() {
    let (mut stream, socket, _server) = events_out(EventFilter::default()).await;
    close(socket, 1012, "").await;
    let error = stream.next().await.unwrap_err();
    assert!(matches!(error, StreamError::Closed { code: 1012, .. }), "{error:?}");
    assert!(!error.is_refusal());
}

#[tokio::test]
async fn dropping_next_loses_no_event() {
    let (mut stream, mut socket, _server) = events_out(EventFilter::default()).await;
    for number in 0..50 {
        let next = event(&number.to_string());
        assert!(tokio::time::timeout(Duration::from_micros(10), stream.next()).await.is_err(), "nothing was sent");
        send(&mut socket, &json!({ "type": "event", "event": next })).await;
        assert_eq!(stream.next().await.unwrap().unwrap().event, number.to_string());
    }
}

#[tokio::test]
async fn a_server_that_answers_no_ping_is_noticed_within_a_minute() {
    let (routes, mut sockets) = Sockets::accepting("/events/in", true);
    let server = Server::routed(routes).await;
    let mut stream = server.client().connect_events_in().await.unwrap();
    // Pings are answered by reading, and nobody reads here.
    let _unread = sockets.next().await;
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    assert!(matches!(stream.idle().await, StreamError::Silent));
    assert!(began.elapsed() <= Duration::from_mins(1));
}

async fn channel() -> (Channel, axum::extract::ws::WebSocket, Server) {
    let (routes, mut sockets) = Sockets::accepting("/work_pools/{pool}/workers/connect", true);
    let server = Server::routed(routes).await;
    let client = server.client();
    let opening = tokio::spawn(async move { client.connect_worker_channel("my pool").await });
    let (socket, _) = sockets.next_authenticated().await;
    (opening.await.unwrap().unwrap(), socket, server)
}

#[tokio::test]
async fn frames_travel_both_ways_on_the_worker_channel() {
    let (mut channel, mut socket, server) = channel().await;
    assert_eq!(server.requests()[0].path, "/work_pools/my%20pool/workers/connect");
    let hello = Frame {
        kind: "worker.hello.v1".to_owned(),
        id: Uuid::now_v7(),
        sent_at: Timestamp::UNIX_EPOCH,
        payload: json!({ "worker_name": "w" }),
    };
    channel.send(&hello).await.unwrap();
    let received = receive(&mut socket).await;
    assert_eq!(received["type"], "worker.hello.v1");
    assert_eq!(received.as_object().unwrap().len(), 4, "the server refuses unknown fields");
    send(&mut socket, &received).await;
    assert_eq!(channel.next().await.unwrap(), hello);
    close(socket, 1008, "authorization_failed").await;
    let error = channel.next().await.unwrap_err();
    assert_eq!(error.disposition, Disposition::Terminal);
}

#[tokio::test]
async fn garbage_on_the_worker_channel_is_terminal_and_not_repeated_in_the_error() {
    let (mut channel, mut socket, _server) = channel().await;
    send(&mut socket, &json!({ "type": "s3cret" })).await;
    let error = channel.next().await.unwrap_err();
    assert_eq!(error.disposition, Disposition::Terminal);
    assert!(!crate::support::chain(&error).contains("s3cret"));
}

#[tokio::test]
async fn a_server_without_the_worker_channel_is_known_by_its_refusal() {
    for (status, expected) in [
        (StatusCode::FORBIDDEN, Disposition::Terminal),
        (StatusCode::NOT_FOUND, Disposition::Terminal),
        (StatusCode::BAD_GATEWAY, Disposition::Retry),
    ] {
        let server = Server::routed(Router::new().fallback(any(move || async move { status }))).await;
        let error = server.client().connect_worker_channel("p").await.err().unwrap();
        assert!(matches!(error.reason, StreamError::Refused { status: got } if got == status.as_u16()));
        assert_eq!(error.disposition, expected);
    }
}

use central_api_client::{Client, ClientSettings};
use central_api_wire::work_pool::Heartbeat;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::{Reply, Server, settings};

fn token(token: &str, lasts: SignedDuration) -> Reply {
    let expiration = Timestamp::now().checked_add(lasts).unwrap().to_string();
    Reply::json(200, &json!({ "id": "x", "token": token, "client": "c", "expiration": expiration }))
}

fn hour() -> SignedDuration {
    SignedDuration::from_hours(1)
}

fn client(server: &Server) -> Client {
    Client::new(ClientSettings { csrf: true, ..settings(server.url()) }).unwrap()
}

async fn beat(client: &Client) {
    let heartbeat =
        Heartbeat { name: "w".to_owned(), heartbeat_interval_seconds: Some(30), return_id: None, metadata: None };
    assert_eq!(client.heartbeat("p", &heartbeat).await.unwrap(), None);
}

/// Path without query, and the token that was sent.
fn seen(server: &Server) -> Vec<(String, Option<String>)> {
    let requests = server.requests();
    let path = |path: &str| path.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
    requests.iter().map(|r| (path(&r.path), r.header("prefect-csrf-token").map(str::to_owned))).collect()
}

fn entry(path: &str, token: Option<&str>) -> (String, Option<String>) {
    (path.to_owned(), token.map(str::to_owned))
}

#[tokio::test]
async fn c004_what_changes_something_carries_a_token_that_is_fetched_once() {
    let server = Server::replying([
        token("t1", hour()),
        Reply::empty(204),
        Reply::empty(204),
        Reply::json(200, &json!("3.8.4")),
    ])
    .await;
    let client = client(&server);
    beat(&client).await;
    beat(&client.attributed("w")).await;
    client.server_version().await.unwrap();
    let expected = [
        entry("csrf-token", None),
        entry("heartbeat", Some("t1")),
        entry("heartbeat", Some("t1")),
        entry("version", None),
    ];
    assert_eq!(seen(&server), expected);
    let requests = server.requests();
    let client_id = requests[1].header("prefect-csrf-client").unwrap();
    assert_eq!(requests[0].path, format!("/csrf-token?client={client_id}"));
}

#[tokio::test]
async fn c004_an_expired_token_is_fetched_again() {
    let expired = token("t1", -hour());
    let server = Server::replying([expired, Reply::empty(204), token("t2", hour()), Reply::empty(204)]).await;
    let client = client(&server);
    beat(&client).await;
    beat(&client).await;
    let tokens: Vec<_> = seen(&server).into_iter().map(|(_, token)| token).collect();
    assert_eq!(tokens, [None, Some("t1".to_owned()), None, Some("t2".to_owned())]);
}

#[tokio::test]
async fn c004_a_token_that_is_not_accepted_is_fetched_again_and_the_call_repeated() {
    let rejected = json!({ "detail": "Invalid CSRF token or client identifier." });
    let server = Server::replying([
        token("t1", hour()),
        Reply::json(403, &rejected).at_once(),
        token("t2", hour()),
        Reply::empty(204),
    ])
    .await;
    beat(&client(&server)).await;
    let expected = [
        entry("csrf-token", None),
        entry("heartbeat", Some("t1")),
        entry("csrf-token", None),
        entry("heartbeat", Some("t2")),
    ];
    assert_eq!(seen(&server), expected);
}

#[tokio::test]
async fn c005_a_server_without_csrf_is_asked_once() {
    for (status, body) in [(422, json!({ "detail": "CSRF protection is disabled." })), (404, Value::Null)] {
        let server = Server::replying([Reply::json(status, &body), Reply::empty(204), Reply::empty(204)]).await;
        let client = client(&server);
        beat(&client).await;
        beat(&client).await;
        let expected = [entry("csrf-token", None), entry("heartbeat", None), entry("heartbeat", None)];
        assert_eq!(seen(&server), expected);
    }
}

#[tokio::test]
async fn parallel_calls_share_one_fetch() {
    let mut replies = vec![token("t1", hour())];
    replies.extend(vec![Reply::empty(204); 8]);
    let server = Server::replying(replies).await;
    let client = client(&server);
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { beat(&client).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    let fetches = seen(&server).iter().filter(|(path, _)| path == "csrf-token").count();
    assert_eq!(fetches, 1);
}

#[tokio::test]
async fn a_failing_fetch_is_a_failing_try() {
    let server = Server::replying([Reply::json(500, &json!({ "exception_message": "Internal Server Error" }))]).await;
    let heartbeat =
        Heartbeat { name: "w".to_owned(), heartbeat_interval_seconds: None, return_id: None, metadata: None };
    let error = client(&server).heartbeat("p", &heartbeat).await.unwrap_err();
    assert_eq!(error.status(), Some(500));
    assert_eq!(server.requests().len(), 1);
}

use std::time::Duration;

use central_api_client::{ApiError, CallKind, Client, TransportError, Verdict};
use central_api_wire::flow_run::ScheduledRunsRequest;
use central_api_wire::state::{SetStateRequest, StateDetails, StateProposal, StateType};
use serde_json::json;
use tokio::net::TcpListener;
use uuid::Uuid;
use worker_core::ids::{RunId, TransitionId};

use crate::support::{Reply, Server, chain, settings};

fn busy() -> Reply {
    Reply::json(503, &json!({ "exception_message": "Service Unavailable" })).at_once()
}

fn version() -> Reply {
    Reply::json(200, &json!("3.8.4"))
}

fn proposal() -> SetStateRequest {
    let state_details = StateDetails { transition_id: Some(TransitionId(Uuid::new_v4())), ..StateDetails::default() };
    let state = StateProposal {
        state_type: StateType::Pending,
        name: Some("Pending".to_owned()),
        message: None,
        data: None,
        state_details,
    };
    SetStateRequest { state, force: false }
}

fn accepted() -> Reply {
    Reply::json(201, &json!({ "state": { "type": "PENDING" }, "status": "ACCEPT", "details": {} }))
}

#[tokio::test]
async fn c006_a_busy_server_is_asked_again_when_it_says() {
    let server = Server::replying([busy(), busy(), version()]).await;
    assert_eq!(server.client().server_version().await.unwrap(), "3.8.4");
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn c007_an_internal_error_is_told_at_once() {
    let server = Server::replying([Reply::json(500, &json!({ "exception_message": "Internal Server Error" }))]).await;
    let error = server.client().server_version().await.unwrap_err();
    assert_eq!(error.to_string(), "the API refused with HTTP status 500: Internal Server Error");
    assert!(error.is_transient());
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn c008_maintenance_is_waited_for() {
    let mut replies = vec![busy().header("prefect-maintenance", "true"); 12];
    replies.push(version());
    let server = Server::replying(replies).await;
    server.client().server_version().await.unwrap();
    assert_eq!(server.requests().len(), 13);
}

#[tokio::test]
async fn c009_a_wrong_url_fails_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://me:s3cret@{}/api", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let error = Client::new(settings(url)).unwrap().server_version().await.unwrap_err();
    assert!(matches!(error, ApiError::Unreachable(TransportError::Connect(_))), "{error:?}");
    assert!(!chain(&error).contains("s3cret") && !chain(&error).contains("http://"), "{}", chain(&error));
}

#[tokio::test]
async fn c054_a_repeated_proposal_has_the_same_transition_id() {
    let server = Server::replying([busy(), Reply::html(502).at_once(), accepted()]).await;
    let request = proposal();
    let verdict = server.client().set_state(RunId(Uuid::nil()), &request, CallKind::Claim).await.unwrap();
    assert!(matches!(verdict, Verdict::Accept(Some(_))));
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    let id = request.state.state_details.transition_id.unwrap().to_string();
    for request in &requests {
        assert_eq!(request.path, "/flow_runs/00000000-0000-0000-0000-000000000000/set_state");
        assert_eq!(request.json()["state"]["state_details"]["transition_id"], id);
    }
}

#[tokio::test]
async fn a_report_is_sent_once_and_only_the_api_itself_can_settle_it() {
    let open = [
        Reply::html(200),
        Reply::html(404),
        Reply::empty(200),
        Reply::json(504, &json!({ "detail": "slow" })),
        Reply::json(404, &json!({ "message": "no Route matched" })),
        Reply::json(404, &json!({ "detail": "Not Found" })),
    ];
    let gone = Reply::json(404, &json!({ "exception_message": "Flow run with id 0 not found" }));
    let tries = open.len();
    let server = Server::replying(open.into_iter().chain([gone])).await;
    let report =
        || async { server.client().set_state(RunId(Uuid::nil()), &proposal(), CallKind::Poll).await.unwrap_err() };
    for sent in 1..=tries {
        let error = report().await;
        assert!(error.is_transient() && !error.is_not_found(), "{error:?}");
        assert_eq!(server.requests().len(), sent);
    }
    assert!(report().await.is_not_found());
}

#[tokio::test]
async fn a_login_page_with_status_200_is_no_answer_to_a_read() {
    let server = Server::replying([Reply::html(200)]).await;
    let error = server.client().server_version().await.unwrap_err();
    assert!(matches!(error, ApiError::Undecodable { status: 200 }), "{error:?}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_poll_is_tried_once_and_its_error_says_when_to_come_again() {
    let busy = Reply::json(429, &json!({ "detail": "slow down" })).header("retry-after", "7.5");
    let server = Server::replying([busy]).await;
    let error = server.client().scheduled_runs("p", &ScheduledRunsRequest::default()).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_millis(7500)));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn an_answer_that_never_ends_is_given_up() {
    // Its backlog accepts, and nobody says anything.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api", listener.local_addr().unwrap()).parse().unwrap();
    let mut settings = settings(url);
    settings.request_timeout = Duration::from_millis(50);
    settings.retry.max_retries = 0;
    let client = Client::new(settings).unwrap();
    let error = client.server_version().await.unwrap_err();
    assert!(matches!(error, ApiError::Unreachable(TransportError::Timeout(_))), "{error:?}");
}

#[tokio::test]
async fn a_poll_is_given_up_before_its_loop_stands_still_for_long() {
    let server = Server::routed(axum::Router::new().fallback(std::future::pending::<()>)).await;
    let mut settings = settings(server.url());
    settings.request_timeout = Duration::from_mins(1);
    let client = Client::new(settings).unwrap();
    let poll = tokio::spawn(async move { client.work_pool("p").await });
    server.requests_until(|requests| requests.len() == 1).await;
    tokio::time::pause();
    let paused = tokio::time::Instant::now();
    let error = poll.await.unwrap().unwrap_err();
    assert!(matches!(error, ApiError::Unreachable(TransportError::Timeout(_))), "{error:?}");
    assert!(paused.elapsed() <= Duration::from_secs(31), "{:?}", paused.elapsed());
}

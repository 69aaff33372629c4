//! Authentication, CSRF, the API version, and what is recorded.

use http::header::AUTHORIZATION;
use serde_json::json;

use super::*;

#[tokio::test]
async fn without_the_auth_string_only_the_health_is_told() {
    let options = ApiOptions { auth_string: Some("admin:pass".into()), ..ApiOptions::default() };
    let (_api, caller) = started(options).await;
    let unauthorized = (401, json!({"exception_message": "Unauthorized"}));
    assert_eq!(caller.get("/work_pools/pp").await, unauthorized);
    let wrong = caller.request(Method::GET, "/work_pools/pp").basic_auth("admin", Some("guess"));
    assert_eq!(answer(wrong).await, unauthorized);
    let bearer = caller.request(Method::GET, "/work_pools/pp").header(AUTHORIZATION, "Bearer x");
    assert_eq!(answer(bearer).await, unauthorized);
    let right = caller.request(Method::GET, "/work_pools/pp").basic_auth("admin", Some("pass"));
    assert_eq!(answer(right).await.0, 200);
    assert_eq!(caller.get("/health").await, (200, json!(true)));
    assert_eq!(caller.get("/ready").await, (200, json!({"message": "OK"})));
}

#[tokio::test]
async fn a_change_needs_the_clients_own_csrf_token_where_that_is_on() {
    let (api, caller) = started(ApiOptions { csrf: true, ..ApiOptions::default() }).await;
    let path = "/work_pools/pp/workers/heartbeat";
    let beat = || caller.request(Method::POST, path).json(&json!({"name": "w"}));
    assert_eq!(answer(beat()).await, (403, json!({"detail": "Missing CSRF token."})));
    let (status, token) = caller.get("/csrf-token?client=c1").await;
    assert_eq!(status, 200);
    assert_eq!(keys(&token), ["id", "created", "updated", "token", "client", "expiration"]);
    let token = token["token"].as_str().unwrap().to_owned();
    let with = |client: &str| {
        beat().header("Prefect-Csrf-Token", token.as_str()).header("Prefect-Csrf-Client", client.to_owned())
    };
    assert_eq!(answer(with("c1")).await.0, 204);
    let invalid = (403, json!({"detail": "Invalid CSRF token or client identifier."}));
    assert_eq!(answer(with("c2")).await, invalid);
    api.store().forget_csrf_tokens();
    assert_eq!(answer(with("c1")).await, invalid);
    assert_eq!(caller.get("/work_pools/pp").await.0, 200, "reading needs no token");
}

#[tokio::test]
async fn csrf_tokens_are_refused_where_they_are_not_needed() {
    let (_api, caller) = started(ApiOptions::default()).await;
    assert_eq!(caller.get("/csrf-token?client=c").await, (422, json!({"detail": "CSRF protection is disabled."})));
}

#[tokio::test]
async fn an_api_version_that_is_too_old_is_refused() {
    let (_api, caller) = started(ApiOptions::default()).await;
    let asking = |version: &'static str| {
        answer(caller.request(Method::GET, "/work_pools/pp").header("X-PREFECT-API-VERSION", version))
    };
    let detail = "The request specified API version 0.1.0 but this server requires version 0.8.0 or higher.";
    assert_eq!(asking("0.1.0").await, (400, json!({"detail": detail})));
    assert_eq!(asking("latest").await.0, 400);
    assert_eq!(asking("0.8.4").await.0, 200);
}

#[tokio::test]
async fn requests_and_connections_are_recorded() {
    let (api, caller) = started(ApiOptions::default()).await;
    caller.post("/work_pools/pp/get_scheduled_flow_runs", &json!({"work_queue_names": ["nope"]})).await;
    caller.get("/health?x=1").await;
    api.store().read(|tables| {
        let poll = tables.requests_to("POST", "/work_pools/pp/get_scheduled_flow_runs").next().unwrap();
        assert_eq!((poll.status, &poll.body), (Some(404), &json!({"work_queue_names": ["nope"]})));
        assert_eq!(poll.header("user-agent"), "prefect/3.8.0 (API 0.8.4)");
        assert_eq!(tables.requests().last().unwrap().query, "x=1");
        assert_eq!(tables.connections().accepted, 1, "the connection is kept");
    });
}

#[tokio::test]
async fn a_restarted_api_keeps_its_tables_and_its_port() {
    let (mut api, caller) = started(ApiOptions::default()).await;
    let mut socket = caller.authenticated("/events/out").await;
    api.stop().await;
    assert_eq!(socket.closed().await, Some((1012, String::new())));
    assert!(caller.request(Method::GET, "/health").send().await.unwrap_err().is_connect());
    assert_eq!(api.store().read(|tables| tables.connections().open), 0);
    api.restart().await.unwrap();
    assert_eq!(caller.get("/work_pools/pp").await.0, 200);
}

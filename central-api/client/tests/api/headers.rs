use central_api_client::{Client, ClientSettings, Credentials};
use serde_json::json;

use crate::support::{Recorded, Reply, Server, cloud_settings, settings};

/// The one request that a call with these settings makes.
async fn request_with(change: impl FnOnce(ClientSettings) -> ClientSettings) -> Recorded {
    let server = Server::replying([Reply::json(200, &json!("3.8.4"))]).await;
    let client = Client::new(change(settings(server.url()))).unwrap();
    assert_eq!(client.server_version().await.unwrap(), "3.8.4");
    server.requests().remove(0)
}

#[tokio::test]
async fn c011_every_call_names_api_version_and_client_version() {
    let request = request_with(|settings| settings).await;
    assert_eq!(request.path, "/admin/version");
    assert_eq!(request.header("x-prefect-api-version"), Some("0.8.4"));
    assert_eq!(request.header("user-agent"), Some("prefect/3.8.0 (API 0.8.4)"));
    assert_eq!(request.header("authorization"), None);
    assert_eq!(request.header("x-prefect-worker-name"), None);
}

#[tokio::test]
async fn c002_an_auth_string_is_sent_as_basic_authentication() {
    let request = request_with(|settings| ClientSettings {
        credentials: Credentials::AuthString("admin:pässword".into()),
        ..settings
    });
    assert_eq!(request.await.header("authorization"), Some("Basic YWRtaW46cMOkc3N3b3Jk"));
}

#[tokio::test]
async fn c003_an_api_key_is_a_bearer_token() {
    let request = request_with(|settings| ClientSettings { credentials: Credentials::ApiKey("k".into()), ..settings });
    assert_eq!(request.await.header("authorization"), Some("Bearer k"));
}

#[tokio::test]
async fn c010_custom_headers_are_sent_last_and_the_protected_ones_are_not() {
    let request = request_with(|settings| ClientSettings {
        credentials: Credentials::ApiKey("k".into()),
        custom_headers: vec![
            ("X-Tenant".to_owned(), "blue".into()),
            ("authorization".to_owned(), "Custom token".into()),
            ("USER-AGENT".to_owned(), "mine".into()),
        ],
        ..settings
    })
    .await;
    assert_eq!(request.header("x-tenant"), Some("blue"));
    assert_eq!(request.header("authorization"), Some("Custom token"));
    assert_eq!(request.header("user-agent"), Some("prefect/3.8.0 (API 0.8.4)"));
    assert_eq!(request.headers.get_all("authorization").iter().count(), 1);
}

#[tokio::test]
async fn c012_calls_name_their_worker_and_its_id_once_that_is_known() {
    let version = Reply::json(200, &json!("3.8.4"));
    let server = Server::replying(vec![version; 4]).await;
    let client = server.client();
    let worker = client.attributed("My Wörker");
    let same_worker = worker.clone();
    worker.server_version().await.unwrap();
    worker.set_worker_id("6f8b1c34-0000-4000-8000-00000000000a".parse().unwrap());
    same_worker.server_version().await.unwrap();
    client.attributed("other").server_version().await.unwrap();
    client.server_version().await.unwrap();
    let seen: Vec<_> = server
        .requests()
        .iter()
        .map(|request| {
            let header = |name| request.header(name).map(str::to_owned);
            (header("x-prefect-worker-name"), header("x-prefect-worker-id"))
        })
        .collect();
    let name = Some("My W%C3%B6rker".to_owned());
    let id = Some("6f8b1c34-0000-4000-8000-00000000000a".to_owned());
    assert_eq!(seen, [(name.clone(), None), (name, id), (Some("other".to_owned()), None), (None, None)]);
}

#[tokio::test]
async fn cloud_is_told_by_the_start_of_the_url() {
    let server = Server::replying([]).await;
    assert!(!server.client().is_cloud());
    assert!(Client::new(cloud_settings(server.url())).unwrap().is_cloud());
}

#[tokio::test]
async fn nothing_secret_is_printed_with_a_client() {
    let settings = ClientSettings {
        credentials: Credentials::AuthString("me:s3cret".into()),
        custom_headers: vec![("x-key".to_owned(), "s3cret".into())],
        ..settings("http://me:s3cret@127.0.0.1:1/api?t=s3cret".parse().unwrap())
    };
    let printed = format!("{:?}", Client::new(settings).unwrap().attributed("w"));
    assert!(!printed.contains("s3cret"), "{printed}");
    assert!(printed.contains("http://127.0.0.1:1/api"), "{printed}");
}

//! The API from the outside: real HTTP, real websockets, the real SDK.

mod channel;
mod gate;
mod recorded;
mod rest;
mod sdk;
mod streams;

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use http::Method;
use reqwest_websocket::{CloseCode, Message, Upgrade as _, WebSocket};
use serde_json::{Value, json};

use url::Url;
use worker_core::ids::{DeploymentId, RunId};

use super::store::{NewDeployment, NewPool, Store, Tables};
use super::{ApiOptions, TestApi, Version};

/// Nothing here takes long; what does is broken.
const BOUND: Duration = Duration::from_secs(20);

/// A client of an API.
pub(crate) struct Caller {
    pub(crate) base: String,
    pub(crate) client: reqwest::Client,
}

impl Caller {
    pub(crate) fn new(url: &Url) -> Self {
        // Refused if another test of this process was first, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder().no_proxy().user_agent("prefect/3.8.0 (API 0.8.4)");
        Self { base: url.to_string(), client: client.timeout(BOUND).build().unwrap() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.request(Method::PATCH, path).json(body)).await
    }

    /// Opens a websocket with the sub-protocol.
    pub(crate) async fn socket(&self, path: &str) -> Socket {
        let response = self.request(Method::GET, path).upgrade().protocols(["prefect"]).send().await.unwrap();
        Socket(response.into_websocket().await.unwrap())
    }

    /// Opens a websocket and authenticates without a token.
    pub(crate) async fn authenticated(&self, path: &str) -> Socket {
        let mut socket = self.socket(path).await;
        socket.send(&json!({"type": "auth", "token": null})).await;
        assert_eq!(socket.next().await, json!({"type": "auth_success"}));
        socket
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    (status, body)
}

/// A websocket with JSON frames, seen from the client.
pub(crate) struct Socket(pub(crate) WebSocket);

impl Socket {
    pub(crate) async fn send(&mut self, frame: &Value) {
        self.0.send(Message::Text(frame.to_string())).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> Value {
        match tokio::time::timeout(BOUND, self.0.next()).await.expect("a frame in time") {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
            other => panic!("no frame: {other:?}"),
        }
    }

    /// The code and reason it was closed with; none if it just broke.
    pub(crate) async fn closed(&mut self) -> Option<(u16, String)> {
        loop {
            match tokio::time::timeout(BOUND, self.0.next()).await.expect("an end in time") {
                Some(Ok(Message::Close { code, reason })) => return Some((number(code), reason)),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}

fn number(code: CloseCode) -> u16 {
    code.into()
}

/// An API with a pool `pp`, and its client.
pub(crate) async fn started(options: ApiOptions) -> (TestApi, Caller) {
    let api = TestApi::start(options).await.unwrap();
    api.store().create_pool(NewPool::new("pp", "process")).unwrap();
    let caller = Caller::new(api.url());
    (api, caller)
}

/// A deployment `d` of a flow `f` on `pp`.
pub(crate) fn deployed(store: &Store) -> DeploymentId {
    let flow = store.create_flow("f");
    store.create_deployment(NewDeployment::new(flow, "d", "pp")).unwrap()
}

pub(crate) fn state(state_type: &str, name: &str) -> Value {
    json!({"state": {"type": state_type, "name": name, "state_details": {}}, "force": false})
}

pub(crate) fn set_state_path(run: RunId) -> String {
    format!("/flow_runs/{run}/set_state")
}

/// The keys of an object, in order.
pub(crate) fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

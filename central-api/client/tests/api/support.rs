//! A server whose answers a test scripts, and which remembers what it was asked.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::any;
use central_api_client::{Client, ClientSettings, Credentials, LogSettings, RetrySettings, TlsSettings};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use url::Url;

/// Bound of every wait. Nothing takes so long unless it is broken.
pub(crate) const BOUND: Duration = Duration::from_secs(20);

/// One request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) method: Method,
    /// Path and query, below the API's base.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Recorded {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// One answer.
#[derive(Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self { status, headers: vec![("content-type", "application/json".to_owned())], body: body.to_string() }
    }

    pub(crate) fn html(status: u16) -> Self {
        let body = "<html>please log in</html>".to_owned();
        Self { status, headers: vec![("content-type", "text/html".to_owned())], body }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new() }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Asks for the next try without delay.
    pub(crate) fn at_once(self) -> Self {
        self.header("retry-after", "0")
    }
}

type Script = Arc<Mutex<VecDeque<Reply>>>;

pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    requests: watch::Sender<Vec<Recorded>>,
}

impl Server {
    /// Gives these answers, one a request, and 501 afterwards.
    pub(crate) async fn replying(replies: impl IntoIterator<Item = Reply>) -> Self {
        let script: Script = Arc::new(Mutex::new(replies.into_iter().collect()));
        Self::routed(Router::new().fallback(next_reply).with_state(script)).await
    }

    /// Serves routes, which are below `/api`.
    pub(crate) async fn routed(routes: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (requests, app) = recorded(routes);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { addr, requests }
    }

    pub(crate) fn url(&self) -> Url {
        format!("http://{}/api", self.addr).parse().unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(settings(self.url())).unwrap()
    }

    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.requests.borrow().clone()
    }

    /// Waits until the requests so far are as wanted.
    pub(crate) async fn requests_until(&self, wanted: impl FnMut(&Vec<Recorded>) -> bool) -> Vec<Recorded> {
        let mut requests = self.requests.subscribe();
        let wanted = timeout(BOUND, requests.wait_for(wanted)).await.expect("the wanted requests never came");
        wanted.unwrap().clone()
    }
}

/// Routes below `/api` that remember their requests.
pub(crate) fn recorded(routes: Router) -> (watch::Sender<Vec<Recorded>>, Router) {
    let requests = watch::Sender::new(Vec::new());
    let app = Router::new().nest("/api", routes).layer(middleware::from_fn_with_state(requests.clone(), record));
    (requests, app)
}

async fn record(State(requests): State<watch::Sender<Vec<Recorded>>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let path = parts.uri.path_and_query().unwrap().as_str();
    let request = Recorded {
        method: parts.method.clone(),
        path: path.strip_prefix("/api").unwrap_or(path).to_owned(),
        headers: parts.headers.clone(),
        body: body.clone(),
    };
    requests.send_modify(|requests| requests.push(request));
    next.run(Request::from_parts(parts, Body::from(body))).await
}

async fn next_reply(State(script): State<Script>) -> Response {
    let reply = script.lock().unwrap().pop_front().unwrap_or_else(|| Reply::empty(501));
    let mut response = Response::builder().status(StatusCode::from_u16(reply.status).unwrap());
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(reply.body)).unwrap()
}

/// Settings of a self-hosted server without authentication and CSRF.
pub(crate) fn settings(api_url: Url) -> ClientSettings {
    ClientSettings {
        api_url,
        cloud_api_url: "https://api.prefect.cloud/api".parse().unwrap(),
        credentials: Credentials::None,
        custom_headers: Vec::new(),
        csrf: false,
        request_timeout: Duration::from_secs(10),
        tls: TlsSettings::default(),
        http2: false,
        retry: RetrySettings::default(),
        log: LogSettings { batch_interval: Duration::from_millis(5), ..LogSettings::default() },
        traffic: None,
    }
}

/// Settings under which the server is Prefect Cloud.
pub(crate) fn cloud_settings(api_url: Url) -> ClientSettings {
    ClientSettings {
        cloud_api_url: api_url.clone(),
        credentials: Credentials::ApiKey("pnu_key".into()),
        csrf: true,
        ..settings(api_url)
    }
}

/// An error and its causes, as they are printed at the edge.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Websockets that a server was asked for, for a test to speak on.
pub(crate) struct Sockets(mpsc::UnboundedReceiver<WebSocket>);

impl Sockets {
    /// A route that accepts every upgrade; it knows the sub-protocol or not.
    pub(crate) fn accepting(path: &str, knows_subprotocol: bool) -> (Router, Self) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let accept = move |upgrade: WebSocketUpgrade| async move {
            let upgrade = if knows_subprotocol { upgrade.protocols(["prefect"]) } else { upgrade };
            upgrade.on_upgrade(move |socket| async move { drop(sender.send(socket)) })
        };
        (Router::new().route(path, any(accept)), Self(receiver))
    }

    pub(crate) async fn next(&mut self) -> WebSocket {
        timeout(BOUND, self.0.recv()).await.expect("no websocket").unwrap()
    }

    /// The next websocket, after the `auth` frame was received and accepted; and the token that came.
    pub(crate) async fn next_authenticated(&mut self) -> (WebSocket, Value) {
        let mut socket = self.next().await;
        let auth = receive(&mut socket).await;
        assert_eq!(auth["type"], "auth");
        send(&mut socket, &serde_json::json!({ "type": "auth_success" })).await;
        (socket, auth["token"].clone())
    }
}

pub(crate) async fn send(socket: &mut WebSocket, frame: &Value) {
    socket.send(Message::text(frame.to_string())).await.unwrap();
}

/// The next text frame. Answers pings meanwhile.
pub(crate) async fn receive(socket: &mut WebSocket) -> Value {
    try_receive(socket).await.expect("the websocket ended")
}

/// As [`receive`]; none when the websocket has ended.
pub(crate) async fn try_receive(socket: &mut WebSocket) -> Option<Value> {
    loop {
        match timeout(BOUND, socket.recv()).await.expect("no frame")?.ok()? {
            Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
            Message::Close(_) => return None,
            Message::Ping(_) | Message::Pong(_) | Message::Binary(_) => {}
        }
    }
}

pub(crate) async fn close(mut socket: WebSocket, code: u16, reason: &str) {
    let frame = CloseFrame { code, reason: reason.to_owned().into() };
    socket.send(Message::Close(Some(frame))).await.unwrap();
}

//! What stands before every route: the request log, authentication, the API version, CSRF.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::Api;
use super::refusal::Refusal;
use crate::api::model::now;
use crate::api::store::RequestRecord;

const LONGEST_BODY: usize = 64 * 1024 * 1024;
/// The oldest API version that the server takes.
const OLDEST_API_VERSION: [u32; 3] = [0, 8, 0];

pub(super) async fn gate(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, LONGEST_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let record = record_of(&parts, serde_json::from_slice(&bytes).unwrap_or(Value::Null));
    let number = api.store.write(|tables| tables.add_request(record));
    let response = match refusal(&api, &parts) {
        Some(refusal) => refusal.into_response(),
        None => next.run(Request::from_parts(parts, Body::from(bytes))).await,
    };
    api.store.write(|tables| tables.answer_request(number, response.status().as_u16()));
    response
}

fn record_of(parts: &Parts, body: Value) -> RequestRecord {
    RequestRecord {
        at: now(),
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers.clone(),
        body,
        status: None,
    }
}

/// Websockets authenticate in their first frame instead, and the health of the server is nobody's secret.
fn refusal(api: &Api, parts: &Parts) -> Option<Refusal> {
    let open = parts.method == Method::GET && matches!(parts.uri.path(), "/health" | "/ready");
    if open || parts.headers.contains_key(UPGRADE) {
        return None;
    }
    let auth = api.store.options().auth_string.as_ref();
    if auth.is_some_and(|auth| basic_auth(&parts.headers).as_deref() != Some(auth.expose_secret())) {
        return Some(Refusal::Unauthorized);
    }
    csrf_refusal(api, parts).or_else(|| version_refusal(&parts.headers))
}

fn basic_auth(headers: &HeaderMap) -> Option<String> {
    let encoded = text(headers, AUTHORIZATION.as_str())?.strip_prefix("Basic ")?;
    String::from_utf8(STANDARD.decode(encoded).ok()?).ok()
}

fn csrf_refusal(api: &Api, parts: &Parts) -> Option<Refusal> {
    let changes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(&parts.method);
    if !api.store.options().csrf || !changes {
        return None;
    }
    let forbidden = |detail: &str| Some(Refusal::Detail(StatusCode::FORBIDDEN, detail.to_owned()));
    let Some(token) = text(&parts.headers, "prefect-csrf-token") else { return forbidden("Missing CSRF token.") };
    let Some(client) = text(&parts.headers, "prefect-csrf-client") else {
        return forbidden("Missing client identifier.");
    };
    let known = api.store.read(|tables| tables.is_csrf_token(client, token, now()));
    if known { None } else { forbidden("Invalid CSRF token or client identifier.") }
}

fn version_refusal(headers: &HeaderMap) -> Option<Refusal> {
    let asked = text(headers, "x-prefect-api-version")?;
    let numbers: Result<Vec<u32>, _> = asked.split('.').map(str::parse).collect();
    let detail = match numbers.ok().and_then(|numbers| <[u32; 3]>::try_from(numbers).ok()) {
        Some(version) if version >= OLDEST_API_VERSION => return None,
        Some(_) => {
            format!("The request specified API version {asked} but this server requires version 0.8.0 or higher.")
        }
        None => format!(
            "Invalid X-PREFECT-API-VERSION header format.Expected header in format 'x.y.z' but received {asked}"
        ),
    };
    Some(Refusal::Detail(StatusCode::BAD_REQUEST, detail))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

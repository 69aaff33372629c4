//! The headers of every request, and which of the configured ones are let through.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use central_api_wire::API_VERSION;
use http::header::{AUTHORIZATION, CONNECTION, HOST, UPGRADE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use crate::error::ClientBuildError;
use crate::settings::Credentials;

pub(crate) const CSRF_TOKEN: HeaderName = HeaderName::from_static("prefect-csrf-token");
pub(crate) const CSRF_CLIENT: HeaderName = HeaderName::from_static("prefect-csrf-client");
pub(crate) const WORKER_NAME: HeaderName = HeaderName::from_static("x-prefect-worker-name");
pub(crate) const WORKER_ID: HeaderName = HeaderName::from_static("x-prefect-worker-id");
pub(crate) const MAINTENANCE: HeaderName = HeaderName::from_static("prefect-maintenance");
const VERSION: HeaderName = HeaderName::from_static("x-prefect-api-version");

/// The headers of every HTTP call, before attribution, CSRF and custom headers.
pub(crate) fn base_headers(credentials: &Credentials) -> Result<HeaderMap, ClientBuildError> {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(central_api_wire::USER_AGENT));
    headers.insert(VERSION, HeaderValue::from_static(API_VERSION));
    if let Some(value) = authorization(credentials, "Bearer")? {
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

/// The headers of every websocket upgrade. The authorization is there for proxies that want it: the server itself reads
/// the first frame, except for Cloud's event stream, whose documented scheme is lower-case `bearer`.
pub(crate) fn upgrade_headers(credentials: &Credentials, custom: &HeaderMap) -> Result<HeaderMap, ClientBuildError> {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(central_api_wire::USER_AGENT));
    if let Some(value) = authorization(credentials, "bearer")? {
        headers.insert(AUTHORIZATION, value);
    }
    for (name, value) in custom {
        let handshake = [HOST, CONNECTION, UPGRADE].contains(name) || name.as_str().starts_with("sec-websocket-");
        if !handshake {
            headers.insert(name, value.clone());
        }
    }
    Ok(headers)
}

fn authorization(credentials: &Credentials, bearer: &str) -> Result<Option<HeaderValue>, ClientBuildError> {
    let text = match credentials {
        Credentials::None => return Ok(None),
        Credentials::AuthString(text) => format!("Basic {}", BASE64.encode(text.expose_secret())),
        Credentials::ApiKey(key) => format!("{bearer} {}", key.expose_secret()),
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_| ClientBuildError::Credentials)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// The configured headers without the protected ones, which are named in a warning.
pub(crate) fn custom_headers(configured: &[(String, SecretString)]) -> Result<HeaderMap, ClientBuildError> {
    let mut headers = HeaderMap::new();
    for (name, value) in configured {
        let illegal = || ClientBuildError::CustomHeader { name: name.clone() };
        let parsed: HeaderName = name.parse().map_err(|_| illegal())?;
        if [USER_AGENT, CSRF_TOKEN, CSRF_CLIENT].contains(&parsed) {
            tracing::warn!(header = %name, "this custom header is not sent: it belongs to the client itself");
            continue;
        }
        let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| illegal())?;
        value.set_sensitive(true);
        headers.insert(parsed, value);
    }
    Ok(headers)
}

/// A worker's name as a header value. Bytes that a header cannot carry are percent-encoded: a worker must not fail, nor
/// lose its attribution, because somebody called it "Öfen".
pub(crate) fn worker_name(name: &str) -> HeaderValue {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b' '..=b'~' => text.push(char::from(byte)),
            _ => drop(write!(text, "%{byte:02X}")),
        }
    }
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c010_custom_headers_are_taken_except_the_protected_ones() {
        let configured = [
            ("X-Tenant".to_owned(), SecretString::from("a")),
            ("user-agent".to_owned(), SecretString::from("mine")),
            ("PREFECT-CSRF-TOKEN".to_owned(), SecretString::from("forged")),
            ("Prefect-Csrf-Client".to_owned(), SecretString::from("forged")),
            ("Authorization".to_owned(), SecretString::from("Custom x")),
        ];
        let headers = custom_headers(&configured).unwrap();
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["authorization", "x-tenant"]);
        assert!(!format!("{headers:?}").contains("Custom x"), "values are secret");
    }

    #[test]
    fn c010_custom_headers_of_the_handshake_are_not_sent_on_websockets() {
        let mut custom = HeaderMap::new();
        for name in ["x-tenant", "host", "connection", "upgrade", "sec-websocket-key"] {
            custom.insert(HeaderName::from_static(name), HeaderValue::from_static("v"));
        }
        let headers = upgrade_headers(&Credentials::None, &custom).unwrap();
        assert_eq!(headers.len(), 2);
        assert!(headers.contains_key("x-tenant") && headers.contains_key(USER_AGENT));
    }

    #[test]
    fn an_illegal_custom_header_is_named_and_its_value_is_not() {
        let error = custom_headers(&[("bad name".to_owned(), "secret".into())]).unwrap_err();
        assert_eq!(error.to_string(), "the custom header \"bad name\" is not a legal HTTP header");
        let error = custom_headers(&[("X-Good".to_owned(), "secret\n".into())]).unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }

    #[test]
    fn a_worker_name_that_a_header_cannot_carry_is_percent_encoded() {
        assert_eq!(worker_name("My Worker"), "My Worker");
        assert_eq!(worker_name("Öfen\n"), "%C3%96fen%0A");
    }
}

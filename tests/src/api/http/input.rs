//! What handlers take from a request.

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Refusal;
use crate::api::store::Proposer;
use crate::api::version::Version;

/// The body as JSON. An empty one counts as `{}`: all its fields are optional then.
pub(super) struct Input<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Input<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let bytes = Bytes::from_request(request, state).await.unwrap_or_default();
        let body = if bytes.is_empty() {
            Value::Object(Map::new())
        } else {
            serde_json::from_slice(&bytes)
                .map_err(|error| Refusal::invalid("json_invalid", &[], &error.to_string(), Value::Null))?
        };
        T::deserialize(&body)
            .map(Self)
            .map_err(|error| Refusal::invalid("value_error", &[], &error.to_string(), body.clone()))
    }
}

/// The parts of the path. What does not parse is no such route.
pub(in crate::api) struct InPath<T>(pub(in crate::api) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(value)| Self(value)).map_err(|_| Refusal::NoSuchRoute)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Proposer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let agent = parts.headers.get(http::header::USER_AGENT).and_then(|value| value.to_str().ok());
        Ok(Self { client: agent.and_then(Version::of_client) })
    }
}

/// 201 for what is new, 200 for what was there.
pub(super) const fn created(is_new: bool) -> StatusCode {
    if is_new { StatusCode::CREATED } else { StatusCode::OK }
}

//! Error answers, in the words and shapes of the real server.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use crate::api::store::StoreError;

/// A request that is not carried out.
#[derive(Debug)]
pub(in crate::api) enum Refusal {
    /// 404: no such route, or no such endpoint in this version.
    NoSuchRoute,
    /// 405.
    NoSuchMethod,
    /// 401.
    Unauthorized,
    /// Answered by a route: `{"detail": …}`.
    Detail(StatusCode, String),
    /// Answered by the tables: `{"exception_message": …}`.
    Exception(StatusCode, String),
    /// 422: the body does not fit.
    Invalid {
        /// What does not fit.
        complaints: Vec<Value>,
        /// The body.
        body: Box<Value>,
    },
}

impl Refusal {
    /// 422 with one complaint about the body.
    pub(super) fn invalid(kind: &str, location: &[&str], message: &str, body: Value) -> Self {
        let place: Vec<&str> = std::iter::once("body").chain(location.iter().copied()).collect();
        Self::complain(vec![json!({"type": kind, "loc": place, "msg": message})], body)
    }

    /// 422.
    pub(super) fn complain(complaints: Vec<Value>, body: Value) -> Self {
        Self::Invalid { complaints, body: Box::new(body) }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let status = match &error {
            StoreError::PoolNotFound(_)
            | StoreError::QueueNotFound { .. }
            | StoreError::FlowNotFound
            | StoreError::DeploymentNotFound
            | StoreError::RunNotFound
            | StoreError::TaskRunNotFound
            | StoreError::BlockNotFound
            | StoreError::BlockTypeNotFound
            | StoreError::VariableNotFound
            | StoreError::RunMissing(_) => StatusCode::NOT_FOUND,
            StoreError::PoolExists | StoreError::QueueExists(_) | StoreError::VariableExists(_) => StatusCode::CONFLICT,
            StoreError::PoolNameReserved => StatusCode::FORBIDDEN,
            StoreError::LeaseNotFound => StatusCode::GONE,
        };
        if let StoreError::RunMissing(_) = error {
            Self::Exception(status, error.to_string())
        } else {
            Self::Detail(status, error.to_string())
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, body) = match self {
            Self::NoSuchRoute => (StatusCode::NOT_FOUND, json!({"detail": "Not Found"})),
            Self::NoSuchMethod => (StatusCode::METHOD_NOT_ALLOWED, json!({"detail": "Method Not Allowed"})),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, json!({"exception_message": "Unauthorized"})),
            Self::Detail(status, detail) => (status, json!({"detail": detail})),
            Self::Exception(status, message) => (status, json!({"exception_message": message})),
            Self::Invalid { complaints, body } => {
                let body = json!({
                    "exception_message": "Invalid request received.",
                    "exception_detail": complaints,
                    "request_body": body,
                });
                (StatusCode::UNPROCESSABLE_ENTITY, body)
            }
        };
        (status, Json(body)).into_response()
    }
}

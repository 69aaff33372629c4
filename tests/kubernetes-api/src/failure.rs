use std::time::Duration;

use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::resource::Resource;

/// An answer that says no: an HTTP status with a `Status` object.
#[derive(Clone, Debug)]
pub struct Failure {
    code: u16,
    reason: String,
    message: String,
    retry_after: Option<Duration>,
    details: Box<Value>,
}

impl Failure {
    /// For example `Failure::new(500, "InternalError", "etcdserver: request timed out")`.
    pub fn new(code: u16, reason: &str, message: &str) -> Self {
        Self {
            code,
            reason: reason.to_owned(),
            message: message.to_owned(),
            retry_after: None,
            details: Box::new(json!({})),
        }
    }

    /// Adds a `Retry-After` header and `retryAfterSeconds`, in whole seconds.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    pub(crate) fn not_found(resource: Resource, name: &str) -> Self {
        Self::new(404, "NotFound", &format!("{} \"{name}\" not found", resource.qualified())).about(resource, name)
    }

    pub(crate) fn already_exists(resource: Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", resource.qualified());
        Self::new(409, "AlreadyExists", &message).about(resource, name)
    }

    pub(crate) fn conflict(resource: Resource, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", resource.qualified());
        Self::new(409, "Conflict", &message).about(resource, name)
    }

    pub(crate) fn bad_request(message: &str) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(crate) fn invalid(resource: Resource, name: &str, why: &str) -> Self {
        let kind = if resource.group().is_empty() {
            resource.kind().to_owned()
        } else {
            format!("{}.{}", resource.kind(), resource.group())
        };
        Self::new(422, "Invalid", &format!("{kind} \"{name}\" is invalid: {why}")).about(resource, name)
    }

    pub(crate) fn forbidden(resource: Resource, name: &str, why: &str) -> Self {
        let message = format!("{} \"{name}\" is forbidden: {why}", resource.qualified());
        let message = if name.is_empty() { message.replacen(" \"\"", "", 1) } else { message };
        Self::new(403, "Forbidden", &message).about(resource, name)
    }

    pub(crate) fn too_old(asked: u64, oldest: u64) -> Self {
        Self::new(410, "Expired", &format!("too old resource version: {asked} ({oldest})"))
    }

    pub(crate) fn continue_expired() -> Self {
        let message = "The provided continue parameter is too old to display a consistent list result. You can start a \
                       new list without the continue parameter.";
        Self::new(410, "Expired", message)
    }

    pub(crate) fn no_such_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    pub(crate) fn no_such_method() -> Self {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    }

    fn about(mut self, resource: Resource, name: &str) -> Self {
        self.details = Box::new(json!({"name": name, "group": resource.group(), "kind": resource.plural()}));
        self
    }

    /// The `Status` object.
    pub(crate) fn status(&self) -> Value {
        let mut details = (*self.details).clone();
        if let Some(after) = self.retry_after {
            details["retryAfterSeconds"] = json!(after.as_secs());
        }
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "details": details, "code": self.code,
        })
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let code = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry: Vec<(HeaderName, String)> =
            self.retry_after.iter().map(|after| (header::RETRY_AFTER, after.as_secs().to_string())).collect();
        let mut response =
            (code, [(header::CONTENT_TYPE, "application/json")], self.status().to_string()).into_response();
        for (name, value) in retry {
            if let Ok(value) = value.parse() {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

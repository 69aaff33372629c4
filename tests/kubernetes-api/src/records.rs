use std::fmt;

use crate::verb::Verb;

/// A request that came.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it wanted.
    pub verb: Verb,
    /// `GET`, `POST`...
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The query, still encoded.
    pub query: String,
    /// `jobs`, `pods`...; empty for a path such as `/version`.
    pub resource: String,
    /// `log`, `status`; empty for the object itself.
    pub subresource: String,
    /// The body as it was sent.
    pub body: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The status of the answer; nothing while there was none, and forever if the connection was cut instead.
    pub status: Option<u16>,
}

impl Request {
    /// `pods` or `pods/log`.
    pub fn rule_name(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        write!(f, "{} {}?{} -> {status}", self.method, self.path, self.query)
    }
}

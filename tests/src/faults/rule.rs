//! What goes wrong, with what, and how often.

use std::time::Duration;

use http::{Method, StatusCode};

use super::pattern::PathPattern;

/// A rule of a proxy.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The method; none means any.
    pub method: Option<Method>,
    /// The path.
    pub path: PathPattern,
    /// What goes wrong.
    pub fault: Fault,
    /// How often.
    pub frequency: Frequency,
}

impl Rule {
    /// A rule for every request of a path pattern, `*` within a segment and `**` across segments.
    pub fn on(path: &str, fault: Fault) -> Self {
        Self { method: None, path: PathPattern::new(path), fault, frequency: Frequency::Always }
    }

    /// The same for one method only.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = Some(method);
        self
    }

    /// The same for the next so many matching requests.
    #[must_use]
    pub const fn times(mut self, times: u64) -> Self {
        self.frequency = Frequency::Next(times);
        self
    }

    /// The same with a probability between 0 and 1.
    #[must_use]
    pub const fn chance(mut self, probability: f64) -> Self {
        self.frequency = Frequency::Chance(probability);
        self
    }
}

/// How often a rule acts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Frequency {
    /// On every matching request.
    Always,
    /// On the next so many.
    Next(u64),
    /// On each with a probability between 0 and 1.
    Chance(f64),
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is reset; the request does not reach the server.
    Reset,
    /// The request is taken and never answered; it does not reach the server.
    BlackHole,
    /// The request goes on after a while.
    Delay(Duration),
    /// The proxy answers; the request does not reach the server.
    Answer(Answer),
    /// The proxy answers 503 and says that the server is being maintained; clients do not count such a try.
    Maintenance,
    /// The server carries out the request, and the connection is reset instead of its answer.
    LoseReply,
    /// The upgrade to a websocket is refused with 403; other requests pass.
    RefuseUpgrade,
}

impl Fault {
    /// An error of this status, as an API would answer it.
    ///
    /// A number that is no status stands for 500.
    pub fn status(status: u16) -> Self {
        Self::Answer(Answer::error(status, None))
    }

    /// The same with `Retry-After`, in seconds as the header has it.
    pub fn status_retry_after(status: u16, retry_after: &str) -> Self {
        Self::Answer(Answer::error(status, Some(retry_after.to_owned())))
    }

    /// A page of HTML with status 200: what a login portal or a misrouted load balancer answers.
    pub fn html() -> Self {
        Self::Answer(Answer {
            status: StatusCode::OK,
            content_type: "text/html",
            retry_after: None,
            body: "<!doctype html><html><body><h1>Please sign in</h1></body></html>".to_owned(),
        })
    }
}

/// An answer of the proxy itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its content type.
    pub content_type: &'static str,
    /// Its `Retry-After` header.
    pub retry_after: Option<String>,
    /// Its body.
    pub body: String,
}

impl Answer {
    pub(super) fn error(status: u16, retry_after: Option<String>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = format!("{{\"detail\":\"{}\"}}", status.canonical_reason().unwrap_or("Error"));
        Self { status, content_type: "application/json", retry_after, body }
    }
}

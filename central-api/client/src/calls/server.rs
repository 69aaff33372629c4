//! Calls about the server itself.

use std::time::Duration;

use http::Method;
use http::header::DATE;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use tokio::time::Instant;

use super::json;
use crate::answer::Answer;
use crate::{ApiError, CallKind, Client, TransportError};

/// What the first answer of a server tells.
#[derive(Debug)]
pub struct Greeting {
    /// From the first byte of the request to the last of the answer, the connection included.
    pub took: Duration,
    /// The server's clock, cut to the second.
    pub date: Option<Timestamp>,
    /// Its version, or what came instead of it.
    pub version: Result<String, ApiError>,
}

impl Client {
    /// The server's version, such as `3.8.4`. [`CallKind::Read`]. `GET /admin/version`; proxies may refuse it.
    pub async fn server_version(&self) -> Result<String, ApiError> {
        let call =
            self.call(CallKind::Read, Method::GET, "read the server's version", &["admin", "version"]).optional();
        self.exchange(call, json).await
    }

    /// Asks for the version once, and tells what else the answer says. `GET /admin/version`.
    ///
    /// # Errors
    ///
    /// No answer came. That the server does not want to say its version is no error.
    pub async fn greet(&self) -> Result<Greeting, TransportError> {
        let call = self.call(CallKind::Poll, Method::GET, "greet the server", &["admin", "version"]).optional();
        let begun = Instant::now();
        let answer = self.send(&call, None).await?;
        let took = begun.elapsed();
        let version = answer.decoded(&call, json).map_err(|failure| failure.error);
        Ok(Greeting { took, date: date(&answer), version })
    }
}

fn date(answer: &Answer) -> Option<Timestamp> {
    let text = answer.headers.get(DATE)?.to_str().ok()?;
    rfc2822::parse(text).ok().map(|date| date.timestamp())
}

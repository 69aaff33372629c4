//! One request to a collector.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, InvalidHeaderName, InvalidHeaderValue, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use url::Url;

use crate::encoding::{self, Scope};
use crate::span::{Span, Value};

const PROTOBUF: &str = "application/x-protobuf";
/// More of an answer is not read: it says how many spans were rejected, and nothing else that counts.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Where spans go.
#[derive(Clone)]
pub struct Target {
    url: Url,
    headers: HeaderMap,
    timeout: Duration,
}

/// The name or the value of a header cannot be sent. The value is not told: it is a secret.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the header {name:?} for the collector is not a legal HTTP header")]
pub struct UnusableHeader {
    name: String,
}

impl Target {
    /// The whole URL of the traces endpoint, with the headers for it and the time that a request may take.
    ///
    /// # Errors
    /// A header cannot be sent.
    pub fn new<'h>(
        url: Url,
        headers: impl IntoIterator<Item = (&'h str, &'h str)>,
        timeout: Duration,
    ) -> Result<Self, UnusableHeader> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let unusable = || UnusableHeader { name: name.to_owned() };
            let header: HeaderName = name.parse().map_err(|_: InvalidHeaderName| unusable())?;
            let mut value: HeaderValue = value.parse().map_err(|_: InvalidHeaderValue| unusable())?;
            value.set_sensitive(true);
            map.insert(header, value);
        }
        Ok(Self { url, headers: map, timeout })
    }

    /// The URL as it may be shown: credentials can be in any of the rest.
    pub fn shown(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{host}{port}{}", self.url.scheme(), self.url.path())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target").field(&self.shown()).finish()
    }
}

/// Why spans were not taken.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// There was no answer.
    #[error("{target} does not answer: {cause}")]
    Unreachable {
        /// The collector.
        target: String,
        /// Why, as far as it is known.
        cause: String,
    },
    /// The collector would not have them.
    #[error("{target} answers {status}")]
    Refused {
        /// The collector.
        target: String,
        /// What it says.
        status: StatusCode,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
}

impl ExportError {
    /// Whether another try may succeed, as OTLP has it.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => matches!(status.as_u16(), 429 | 502 | 503 | 504),
        }
    }

    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => {
                "see whether the collector runs and takes OTLP over HTTP there, by custom on port 4318; 4317 is gRPC"
            }
            Self::Refused { status, .. } => match status.as_u16() {
                401 | 403 => "correct `otlp.headers` (OTEL_EXPORTER_OTLP_HEADERS)",
                404 | 405 => {
                    "correct `otlp.endpoint`, to which /v1/traces is added, or give the whole URL as `otlp.traces_endpoint`"
                }
                _ => "look at the collector's log",
            },
        }
    }

    pub(crate) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::Unreachable { .. } => None,
        }
    }
}

/// Sends spans to a collector.
#[derive(Clone)]
pub struct Exporter {
    client: reqwest::Client,
    target: Target,
    resource: Arc<[(String, Value)]>,
    version: &'static str,
    redact: Arc<dyn Fn(String) -> String + Send + Sync>,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Exporter").field(&self.target).finish()
    }
}

impl Exporter {
    /// Through this client, which must follow no redirects: the headers are for nobody else. `redact` is asked about every text
    /// of a span when it is sent, so that what became known as a secret meanwhile is kept too.
    pub fn new(
        client: reqwest::Client,
        target: Target,
        resource: Vec<(String, Value)>,
        version: &'static str,
        redact: impl Fn(String) -> String + Send + Sync + 'static,
    ) -> Self {
        Self { client, target, resource: resource.into(), version, redact: Arc::new(redact) }
    }

    /// Where it sends them.
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Tries whether the collector takes anything, without giving it something.
    ///
    /// # Errors
    /// It does not.
    pub async fn probe(&self) -> Result<(), ExportError> {
        self.post(encoding::empty_request()).await.map(drop)
    }

    /// Takes out of spans what must not be told. Once for each batch, however often it is sent.
    pub(crate) fn redact(&self, spans: &mut [Span]) {
        for span in spans {
            span.redact(&*self.redact);
        }
    }

    /// How many of the spans were rejected although the request was taken.
    pub(crate) async fn send(&self, spans: &[Span]) -> Result<u64, ExportError> {
        let scope = Scope { name: "worker", version: self.version };
        self.post(encoding::request(&self.resource, &scope, spans)).await
    }

    async fn post(&self, body: Vec<u8>) -> Result<u64, ExportError> {
        let Target { url, headers, timeout } = &self.target;
        let request = self.client.post(url.clone()).headers(headers.clone());
        let request = request.header(CONTENT_TYPE, PROTOBUF).timeout(*timeout).body(body);
        let answer = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(encoding::rejected(&read(answer).await));
        }
        let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = seconds.map(Duration::from_secs);
        Err(ExportError::Refused { target: self.target.shown(), status, retry_after })
    }

    fn unreachable(&self, error: reqwest::Error) -> ExportError {
        let error = error.without_url();
        let mut innermost: &dyn Error = &error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        let cause = if error.is_timeout() { "it takes too long".to_owned() } else { innermost.to_string() };
        ExportError::Unreachable { target: self.target.shown(), cause }
    }
}

/// An answer that breaks off is one that took the spans.
async fn read(mut answer: reqwest::Response) -> Vec<u8> {
    let mut read = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        if read.len() + chunk.len() > LONGEST_ANSWER {
            return Vec::new();
        }
        read.extend_from_slice(&chunk);
    }
    read
}

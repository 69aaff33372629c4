//! The HTTP client of one fetch.

use std::time::Duration;

use camino::Utf8Path;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, IF_MATCH, RANGE};
use http::{HeaderMap, HeaderValue, StatusCode};
use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector, HttpRequest, HttpRequestBody};
use reqwest::{NoProxy, Proxy};

use super::{Failure, tls};
use crate::objects::options::FetchOptions;

const LONGEST_CONNECT: Duration = Duration::from_secs(10);
/// How long a server may say nothing.
const LONGEST_SILENCE: Duration = Duration::from_mins(1);

/// The HTTP client of one fetch: with the proxies of the run's environment, and no redirects, which would send a
/// signature to where it was not made for.
#[derive(Clone, Debug)]
pub(in crate::objects) struct Http(reqwest::Client);

impl Http {
    pub(in crate::objects) fn new(options: &FetchOptions, ca_file: Option<&Utf8Path>) -> Result<Self, Failure> {
        let mut builder = Self::builder(LONGEST_CONNECT, ca_file)?.pool_max_idle_per_host(options.parallel);
        let variable = |name: &str| {
            options.variable(&name.to_ascii_lowercase()).or_else(|| options.variable(&name.to_ascii_uppercase()))
        };
        let exceptions = variable("no_proxy").and_then(NoProxy::from_string);
        let unusable = |_: reqwest::Error| Failure::left_to_prefect("its proxy is not one that this worker can use");
        if let Some(url) = variable("https_proxy") {
            builder = builder.proxy(Proxy::https(url).map_err(unusable)?.no_proxy(exceptions.clone()));
        }
        if let Some(url) = variable("http_proxy") {
            builder = builder.proxy(Proxy::http(url).map_err(unusable)?.no_proxy(exceptions));
        }
        Ok(Self(builder.build()?))
    }

    /// A client for the machine's own metadata: never through a proxy, and soon tired of waiting, because where there is
    /// no such server nothing answers at all.
    pub(in crate::objects) fn of_this_machine(patience: Duration) -> Result<Self, Failure> {
        Ok(Self(Self::builder(patience, None)?.timeout(patience).build()?))
    }

    fn builder(connect: Duration, ca_file: Option<&Utf8Path>) -> Result<reqwest::ClientBuilder, Failure> {
        Ok(reqwest::Client::builder()
            .tls_backend_preconfigured(tls::config(ca_file)?)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(connect)
            .read_timeout(LONGEST_SILENCE))
    }

    /// Sends a signed request, which has no body.
    pub(in crate::objects) async fn get(&self, signed: HttpRequest) -> Result<reqwest::Response, Failure> {
        let (parts, _) = signed.into_parts();
        Ok(self.0.get(parts.uri.to_string()).headers(parts.headers).send().await?)
    }

    /// Sends a request with a body.
    pub(in crate::objects) async fn post(&self, request: HttpRequest) -> Result<reqwest::Response, Failure> {
        let (parts, body) = request.into_parts();
        let body = body.as_bytes().cloned().unwrap_or_default();
        Ok(self.0.post(parts.uri.to_string()).headers(parts.headers).body(body).send().await?)
    }

    /// The client itself.
    pub(in crate::objects) fn client(&self) -> &reqwest::Client {
        &self.0
    }
}

/// A request to be signed.
pub(in crate::objects) fn request(url: &str) -> Result<HttpRequest, Failure> {
    http::Request::get(url)
        .body(HttpRequestBody::empty())
        .map_err(|_| Failure::left_to_prefect("the name of an object cannot be in a URL"))
}

/// `object_store`, which obtains credentials, takes the client from here: it would build one with a TLS provider that
/// nobody has chosen.
impl HttpConnector for Http {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

/// Asks for an object from a byte on, if it is still the one that the bytes before came from.
pub(super) fn ask_for_rest(headers: &mut HeaderMap, start: u64, version: Option<&str>) {
    if let Ok(range) = HeaderValue::from_str(&format!("bytes={start}-")) {
        headers.insert(RANGE, range);
    }
    if let Some(Ok(tag)) = version.filter(|tag| tag.starts_with('"')).map(HeaderValue::from_str) {
        headers.insert(IF_MATCH, tag);
    }
}

/// The first byte of the object that is in an answer.
pub(super) fn first_byte(answer: &reqwest::Response) -> u64 {
    range(answer).map_or(0, |(start, _)| start)
}

/// How long the object is.
pub(super) fn whole_length(answer: &reqwest::Response) -> Option<u64> {
    match range(answer) {
        Some((_, length)) => length,
        None => answer.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok(),
    }
}

/// `bytes 5-9/10`, of an answer that has a part only.
fn range(answer: &reqwest::Response) -> Option<(u64, Option<u64>)> {
    if answer.status() != StatusCode::PARTIAL_CONTENT {
        return None;
    }
    let text = answer.headers().get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    let (part, length) = text.split_once('/')?;
    Some((part.split_once('-')?.0.parse().ok()?, length.parse().ok()))
}

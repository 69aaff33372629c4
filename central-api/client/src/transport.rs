//! The two HTTP libraries' clients: one for calls, one for websocket upgrades. Both take their proxies from the environment
//! (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`).

use std::time::Duration;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

use crate::error::ClientBuildError;
use crate::lanes::CONNECTIONS;
use crate::settings::{ClientSettings, TlsSettings};
use crate::tls::tls_config;

/// Prefect Cloud's load balancer closes idle connections after 30 s; ours must be gone before, or a request meets the
/// close half-way.
const IDLE_CONNECTION: Duration = Duration::from_secs(25);
/// A host that drops packets is known for that much earlier than an answer can be called late.
const LONGEST_CONNECT: Duration = Duration::from_secs(10);

/// The client of all calls.
pub(crate) fn http_client(settings: &ClientSettings) -> Result<reqwest::Client, ClientBuildError> {
    let alpn: &[&[u8]] = if settings.http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls_config(&settings.tls, alpn)?)
        .pool_idle_timeout(IDLE_CONNECTION)
        .pool_max_idle_per_host(CONNECTIONS)
        .connect_timeout(connect_timeout(settings))
        .read_timeout(settings.request_timeout)
        // Connect, write and read have the limit each. Without one for the whole, an answer that trickles, or a request
        // that nobody takes in, would hold its caller for ever.
        .timeout(settings.request_timeout.saturating_mul(3));
    let builder = if settings.http2 { builder } else { builder.http1_only() };
    builder.build().map_err(ClientBuildError::Http)
}

/// A client of the same make, with the same way to proxies, for a server that is no Prefect API. It follows no redirects, so that
/// headers go to nobody else, and keeps no connection for long.
///
/// # Errors
/// A file with certificates cannot be used.
pub fn client_for_others(tls: &TlsSettings) -> Result<reqwest::Client, ClientBuildError> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls_config(tls, &[b"http/1.1"])?)
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .pool_idle_timeout(IDLE_CONNECTION)
        .connect_timeout(LONGEST_CONNECT)
        .build()
        .map_err(ClientBuildError::Http)
}

fn connect_timeout(settings: &ClientSettings) -> Duration {
    settings.request_timeout.min(LONGEST_CONNECT)
}

/// The client of websocket upgrades: HTTP/1.1 only, no pool, and no limit that would end an upgraded connection.
pub(crate) fn upgrade_client(settings: &ClientSettings) -> Result<reqwest::Client, ClientBuildError> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls_config(&settings.tls, &[b"http/1.1"])?)
        .pool_max_idle_per_host(0)
        .connect_timeout(connect_timeout(settings))
        .http1_only()
        .build()
        .map_err(ClientBuildError::Http)
}

/// The proxy through which the clients reach a URL, by the environment, without its user and password.
pub fn proxy_for(url: &Url) -> Option<String> {
    let destination: Uri = url.as_str().parse().ok()?;
    // What reqwest itself asks.
    let proxy = Matcher::from_system().intercept(&destination)?;
    let uri = proxy.uri();
    let scheme = uri.scheme_str().unwrap_or("http");
    Some(match uri.port() {
        Some(port) => format!("{scheme}://{}:{port}", uri.host()?),
        None => format!("{scheme}://{}", uri.host()?),
    })
}

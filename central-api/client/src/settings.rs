//! What a client is built from. Nothing here is read from the environment, except the proxy variables, which the HTTP
//! library reads itself.

use std::sync::Arc;
use std::time::Duration;

use camino::Utf8PathBuf;
use secrecy::SecretString;
use url::Url;

use crate::traffic::Traffic;

/// Settings of a [`Client`](crate::Client).
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// The API, such as `http://host:4200/api`. A trailing slash makes no difference.
    pub api_url: Url,
    /// Where Prefect Cloud lives: an API whose URL starts with this one is Cloud.
    pub cloud_api_url: Url,
    /// How we prove who we are.
    pub credentials: Credentials,
    /// Headers for every request, merged last. The client's own identity (`User-Agent` and the CSRF pair) is protected:
    /// those names are left out with a warning.
    pub custom_headers: Vec<(String, SecretString)>,
    /// Whether CSRF tokens are fetched. Never at Cloud.
    pub csrf: bool,
    /// Longest silence of the server within one try; a whole try may take three times as long. Connecting gets 10 s of it at
    /// most, and calls that are tried once ([`CallKind::Poll`](crate::CallKind::Poll)) 30 s altogether.
    pub request_timeout: Duration,
    /// Certificates.
    pub tls: TlsSettings,
    /// Whether HTTP/2 may be negotiated. Websockets stay with HTTP/1.1.
    pub http2: bool,
    /// How often a call is tried.
    pub retry: RetrySettings,
    /// How log lines are shipped.
    pub log: LogSettings,
    /// Who is told how calls go, if anybody wants to know.
    pub traffic: Option<Arc<dyn Traffic>>,
}

/// How we prove who we are.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// Not at all.
    #[default]
    None,
    /// `user:password` of a self-hosted server: HTTP basic authentication, and the text as it is on websockets.
    AuthString(SecretString),
    /// An API key: a bearer token.
    ApiKey(SecretString),
}

impl Credentials {
    /// The one that counts of those that are configured: an auth string wins over an API key.
    pub fn choose(auth_string: Option<SecretString>, api_key: Option<SecretString>) -> Self {
        match (auth_string, api_key) {
            (Some(auth_string), _) => Self::AuthString(auth_string),
            (None, Some(key)) => Self::ApiKey(key),
            (None, None) => Self::None,
        }
    }
}

/// Certificates that are trusted and shown.
#[derive(Clone, Debug, Default)]
pub struct TlsSettings {
    /// Accepts any certificate of the server, for any name.
    pub insecure_skip_verify: bool,
    /// PEM bundle of the trusted roots; Mozilla's list, compiled in, if there is none.
    pub ca_file: Option<Utf8PathBuf>,
    /// PEM chain that we show, leaf first.
    pub client_cert: Option<Utf8PathBuf>,
    /// PEM key of `client_cert`; looked for in the certificate's own file if there is none.
    pub client_key: Option<Utf8PathBuf>,
}

/// How often a call is tried.
#[derive(Clone, Debug)]
pub struct RetrySettings {
    /// Tries after the first, for reads and claims.
    pub max_retries: u32,
    /// Delays vary by this share: 0.2 is a fifth.
    pub jitter_factor: f64,
    /// HTTP statuses to try again on, besides 408, 429, 502 and 503.
    pub extra_codes: Vec<u16>,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self { max_retries: 5, jitter_factor: 0.2, extra_codes: Vec::new() }
    }
}

/// How log lines are shipped.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// Whether they are.
    pub enabled: bool,
    /// Longest time that a line waits for others.
    pub batch_interval: Duration,
    /// Bytes of a batch, of which room for one line of the greatest size is kept free.
    pub batch_size: usize,
    /// Bytes of one line; longer ones are cut. Cloud takes 25 000 at most.
    pub max_log_size: usize,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { enabled: true, batch_interval: Duration::from_secs(2), batch_size: 4_000_000, max_log_size: 1_000_000 }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn c003_an_auth_string_wins_over_an_api_key() {
        let chosen = Credentials::choose(Some("me:secret".into()), Some("key".into()));
        assert!(matches!(&chosen, Credentials::AuthString(text) if text.expose_secret() == "me:secret"));
        assert!(matches!(Credentials::choose(None, Some("key".into())), Credentials::ApiKey(_)));
        assert!(!format!("{chosen:?}").contains("secret\""), "a credential is never printed: {chosen:?}");
    }
}

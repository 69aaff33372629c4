//! What can go wrong with a call.

use std::error::Error;
use std::io;
use std::time::Duration;

/// Any error, as a cause.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// Why a call has no result. No variant holds a URL, a header or a body.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No answer came.
    #[error("the API could not be reached")]
    Unreachable(#[source] TransportError),
    /// An answer came that the API would not give: an error page of a proxy, whatever its status, or JSON of an unknown
    /// shape. It proves nothing about the API.
    #[error("the answer with HTTP status {status} could not be decoded")]
    Undecodable {
        /// Its HTTP status.
        status: u16,
    },
    /// The API said no.
    #[error("the API refused with HTTP status {status}: {detail}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The API's own words, shortened. Values that we sent are not repeated in it.
        detail: String,
        /// How long the API wants to be left alone: 5 min at most, whatever it said.
        retry_after: Option<Duration>,
    },
    /// The request could not be turned into JSON. It was not sent.
    #[error("the request could not be encoded")]
    Unencodable(#[source] serde_json::Error),
}

impl ApiError {
    /// Whether the API said that what was asked for does not exist. A proxy's own 404 page does not count, and neither does
    /// [an unknown path](Self::is_unknown_path).
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. }) && !self.is_unknown_path()
    }

    /// Whether the server has no such path: the framework below the API answers `{"detail":"Not Found"}`, where the API
    /// itself would say what it did not find. Either another application answers behind a load balancer or a wrong URL, or
    /// the API is too old for the call; neither proves that anything was deleted.
    pub fn is_unknown_path(&self) -> bool {
        matches!(self, Self::Refused { status: 404, detail, .. } if detail == "Not Found")
    }

    /// Whether the same call may well succeed later: no answer, a server error, a request to slow down, or an answer that
    /// is not the API's.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Undecodable { .. } => true,
            Self::Refused { status, .. } => matches!(*status, 408 | 429 | 500..) || self.is_unknown_path(),
            Self::Unencodable(_) => false,
        }
    }

    /// The HTTP status, if there was an answer.
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Undecodable { status } | Self::Refused { status, .. } => Some(*status),
            Self::Unreachable(_) | Self::Unencodable(_) => None,
        }
    }

    /// How long the API wants to be left alone, if it said so: 5 min at most.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::Unreachable(_) | Self::Undecodable { .. } | Self::Unencodable(_) => None,
        }
    }
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No connection: refused, no such host, no route, or no agreement on TLS.
    #[error("no connection could be made")]
    Connect(#[source] BoxError),
    /// A connection, perhaps, but no answer in time.
    #[error("no answer came in time")]
    Timeout(#[source] BoxError),
    /// The connection broke before the answer was complete. The API may have acted.
    #[error("the exchange was interrupted")]
    Interrupted(#[source] BoxError),
}

impl TransportError {
    /// What is wrong with the server's certificate, or with TLS otherwise, if that is why.
    pub fn tls_problem(&self) -> Option<String> {
        let (Self::Connect(source) | Self::Timeout(source) | Self::Interrupted(source)) = self;
        let mut next: Option<&(dyn Error + 'static)> = Some(source.as_ref());
        while let Some(error) = next {
            if let Some(problem) = error.downcast_ref::<rustls::Error>() {
                return Some(problem.to_string());
            }
            // An I/O error passes over what it holds when it is asked for its source.
            let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            next = match held {
                Some(held) => Some(held),
                None => error.source(),
            };
        }
        None
    }
}

impl From<reqwest::Error> for TransportError {
    fn from(error: reqwest::Error) -> Self {
        // The URL may hold the password of a proxy or of the API.
        let error = error.without_url();
        if error.is_connect() {
            Self::Connect(error.into())
        } else if error.is_timeout() {
            Self::Timeout(error.into())
        } else {
            Self::Interrupted(error.into())
        }
    }
}

/// Why a client could not be built. All of them are mistakes in the settings.
#[derive(Debug, thiserror::Error)]
pub enum ClientBuildError {
    /// The API URL is no HTTP URL.
    #[error("the API URL must start with http:// or https://, not {scheme}:")]
    Scheme {
        /// What it starts with.
        scheme: String,
    },
    /// A credential has characters that a header cannot carry.
    #[error("the credentials hold characters that an HTTP header cannot carry")]
    Credentials,
    /// A custom header's name or value is not legal.
    #[error("the custom header {name:?} is not a legal HTTP header")]
    CustomHeader {
        /// Its name.
        name: String,
    },
    /// A file with certificates or a key could not be read.
    #[error("cannot read {path}")]
    ReadPem {
        /// The file.
        path: camino::Utf8PathBuf,
        /// Why.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// A file that should hold certificates has none that can be used.
    #[error("{path} holds no usable certificate in PEM form")]
    NoCertificate {
        /// The file.
        path: camino::Utf8PathBuf,
    },
    /// A client key without a certificate.
    #[error("a client key is set, but no client certificate")]
    KeyWithoutCertificate,
    /// The certificate and the key do not make a pair, or the key's kind is not known.
    #[error("the client certificate {path} cannot be used with its key")]
    ClientCertificate {
        /// The certificate.
        path: camino::Utf8PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The TLS library refused its own defaults.
    #[error("TLS could not be set up")]
    Tls(#[source] rustls::Error),
    /// The HTTP library refused the settings.
    #[error("the HTTP client could not be set up")]
    Http(#[source] reqwest::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_by_itself_is_transient() {
        let refused = |status| ApiError::Refused { status, detail: String::new(), retry_after: None };
        let passing: Vec<u16> = [400, 401, 403, 404, 408, 409, 422, 429, 500, 503, 504]
            .into_iter()
            .filter(|s| refused(*s).is_transient())
            .collect();
        assert_eq!(passing, [408, 429, 500, 503, 504]);
        assert!(ApiError::Undecodable { status: 404 }.is_transient(), "a proxy's page says nothing about the API");
        assert!(!ApiError::Undecodable { status: 404 }.is_not_found());
    }

    #[test]
    fn only_the_api_itself_can_say_that_something_was_deleted() {
        let missing = |detail: &str| ApiError::Refused { status: 404, detail: detail.to_owned(), retry_after: None };
        for detail in ["Flow run not found", "Work pool \"p\" not found.", "not found"] {
            let error = missing(detail);
            assert!(error.is_not_found() && !error.is_unknown_path() && !error.is_transient(), "{detail}");
        }
        let error = missing("Not Found");
        assert!(!error.is_not_found() && error.is_unknown_path() && error.is_transient());
    }
}

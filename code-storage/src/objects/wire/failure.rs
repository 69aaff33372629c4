//! What a failed request meant.

use std::error::Error;

use crate::objects::request::Unreadable;

/// The causes that are told apart, because they differ in what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::objects) enum Cause {
    LeftToPrefect(Unreadable),
    NoCredentials,
    CredentialsRefused,
    Denied,
    NoSuchBucket,
    WrongRegion,
    Certificate,
    Unreachable,
    Server,
    /// The object is not what it was, or not there any more.
    Changed,
}

impl Cause {
    pub(in crate::objects) fn is_transient(self) -> bool {
        self == Self::Unreachable
    }
}

/// A request that did not bring what it was to bring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::objects) struct Failure {
    pub(in crate::objects) cause: Cause,
    /// What the server or the system said; no secret.
    pub(in crate::objects) detail: String,
}

/// The most characters of an answer that a message takes over.
const DETAIL_LENGTH: usize = 300;

impl Failure {
    pub(in crate::objects) fn new(cause: Cause, detail: impl AsRef<str>) -> Self {
        let detail = detail.as_ref().split_whitespace().collect::<Vec<_>>().join(" ");
        Self { cause, detail: detail.chars().take(DETAIL_LENGTH).collect() }
    }

    pub(in crate::objects) fn left_to_prefect(reason: &'static str) -> Self {
        Self::new(Cause::LeftToPrefect(Unreadable(reason)), reason)
    }

    /// What a status means where the server gives no code of its own.
    pub(in crate::objects) fn of_status(status: http::StatusCode, detail: impl AsRef<str>) -> Self {
        let cause = match status.as_u16() {
            401 => Cause::CredentialsRefused,
            403 => Cause::Denied,
            408 | 429 | 500..=599 => Cause::Unreachable,
            _ => Cause::Server,
        };
        let detail = detail.as_ref();
        if detail.trim().is_empty() { Self::new(cause, format!("status {status}")) } else { Self::new(cause, detail) }
    }
}

impl From<Unreadable> for Failure {
    fn from(reason: Unreadable) -> Self {
        Self::new(Cause::LeftToPrefect(reason), reason.0)
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        // A signature may be in the URL.
        let error = error.without_url();
        let said = chain(&error);
        // reqwest has no name for what TLS found wrong, and text is what rustls gives through it.
        let cause = if said.contains("invalid peer certificate") || said.contains("CertificateRequired") {
            Cause::Certificate
        } else if error.is_builder() || error.is_redirect() {
            Cause::Server
        } else {
            Cause::Unreachable
        };
        Self::new(cause, said)
    }
}

impl From<object_store::Error> for Failure {
    /// Only credentials are obtained with that crate. It shows a URL where there is no secret in it.
    fn from(error: object_store::Error) -> Self {
        Self::new(Cause::NoCredentials, chain(&error))
    }
}

/// An error and its causes, the repetitions left out.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !said.contains(&text) {
            said.push_str(": ");
            said.push_str(&text);
        }
        next = cause.source();
    }
    said
}

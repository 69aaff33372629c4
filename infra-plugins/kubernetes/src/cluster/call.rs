//! One call to the API server, and what its failure means.

use std::time::Duration;

use kube::core::Status;

/// A server that does not answer for so long counts as away. Its own requests end within a minute.
const ANSWER: Duration = Duration::from_secs(30);

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("the Kubernetes API server gave no answer within {} s", .0.as_secs())]
    Silent(Duration),
    #[error("{}", said(.0))]
    Refused(Box<Status>),
    #[error("the Kubernetes API server cannot be reached: {0}")]
    Unreachable(String),
    #[error("the Kubernetes API server's answer cannot be read: {0}")]
    Unreadable(String),
}

/// The words of the server; a proxy before it may answer without any.
fn said(status: &Status) -> String {
    if status.message.is_empty() {
        format!("the Kubernetes API server answered {} {}", status.code, status.reason).trim_end().to_owned()
    } else {
        status.message.clone()
    }
}

impl CallError {
    /// The status of the answer, if there was one.
    pub(crate) const fn code(&self) -> Option<u16> {
        if let Self::Refused(status) = self { Some(status.code) } else { None }
    }

    /// What the server calls it, such as `AlreadyExists`.
    pub(crate) fn reason(&self) -> &str {
        if let Self::Refused(status) = self { &status.reason } else { "" }
    }

    /// Whether the server says that there is no such object. A proxy that knows no such path says less.
    pub(crate) fn is_not_found(&self) -> bool {
        self.code() == Some(404) && self.reason() == "NotFound"
    }

    /// Whether this place is closed to us: others may still be looked at.
    pub(crate) const fn is_closed(&self) -> bool {
        matches!(self.code(), Some(403 | 404))
    }

    /// Whether the same call may work later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Silent(_) | Self::Unreachable(_) | Self::Unreadable(_) => true,
            // A quota that many Jobs are counted against at once; credentials that are being renewed.
            Self::Refused(status) if status.code == 409 => status.reason == "Conflict",
            Self::Refused(status) => matches!(status.code, 401 | 408 | 429 | 500 | 502 | 503 | 504),
        }
    }

    /// Whether a change that was asked for may have been made in spite of the failure.
    pub(crate) const fn leaves_open(&self) -> bool {
        match self {
            Self::Silent(_) | Self::Unreachable(_) | Self::Unreadable(_) => true,
            // A storage that did not answer in time may still have stored it.
            Self::Refused(status) => matches!(status.code, 500 | 502 | 504),
        }
    }

    /// How long the server asks to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let Self::Refused(status) = self else { return None };
        let seconds = status.details.as_ref()?.retry_after_seconds;
        (seconds > 0).then(|| Duration::from_secs(seconds.into()))
    }
}

impl From<kube::Error> for CallError {
    fn from(error: kube::Error) -> Self {
        if let kube::Error::Api(status) = error {
            return Self::Refused(status);
        }
        let said = chain(&error);
        if matches!(error, kube::Error::SerdeError(_) | kube::Error::FromUtf8(_)) {
            Self::Unreadable(said)
        } else {
            Self::Unreachable(said)
        }
    }
}

/// Waits for the answer to a call, for so long and no longer. A dropped call may or may not have taken effect.
pub(crate) async fn answered<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    match tokio::time::timeout(ANSWER, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(CallError::Silent(ANSWER)),
    }
}

/// The same, where "there is no such thing" is an answer.
pub(crate) async fn found<T>(call: impl Future<Output = kube::Result<T>>) -> Result<Option<T>, CallError> {
    match answered(call).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// An error with its causes, each said once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // The client's own errors repeat what caused them.
        if !said.contains(&text) {
            said = format!("{said}: {text}");
        }
        cause = error.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16) -> CallError {
        CallError::Refused(Box::new(Status { code, ..Status::default() }))
    }

    #[test]
    fn what_is_tried_again_and_what_may_have_happened() {
        for (code, transient, open) in [
            (400, false, false),
            (401, true, false),
            (403, false, false),
            (404, false, false),
            (409, false, false),
            (422, false, false),
            (429, true, false),
            (500, true, true),
            (503, true, false),
            (504, true, true),
        ] {
            assert_eq!(refused(code).is_transient(), transient, "{code}");
            assert_eq!(refused(code).leaves_open(), open, "{code}");
        }
        assert!(CallError::Silent(ANSWER).is_transient() && CallError::Silent(ANSWER).leaves_open());
    }
}

//! One answer of the API, and what it means.

use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};

use crate::error::ApiError;
use crate::headers::MAINTENANCE;
use crate::refusal;
use crate::request::Call;
use crate::retry::Failure;

/// Longest time, in seconds, that a server may ask to be left alone, whatever the call. Longer wishes are mistakes of a
/// server or a proxy; heeded, they would silence polls and heartbeats, and park reports, long after the trouble is over.
const LONGEST_RETRY_AFTER: f64 = 300.0;

/// One answer, whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The decoded body of a success; anything else is a failure.
    pub(crate) fn decoded<T>(
        &self,
        call: &Call,
        decode: impl FnOnce(&[u8]) -> Result<T, serde_json::Error>,
    ) -> Result<T, Failure> {
        if !self.status.is_success() {
            return Err(self.failure());
        }
        decode(&self.body).map_err(|error| {
            // Only where it went wrong: the error's own text may quote a value, and a value may be a secret.
            tracing::debug!(
                call = call.name,
                status = self.status.as_u16(),
                category = ?error.classify(),
                line = error.line(),
                column = error.column(),
                bytes = self.body.len(),
                "an answer could not be decoded"
            );
            self.undecodable()
        })
    }

    fn undecodable(&self) -> Failure {
        Failure { retry_after: self.retry_after(), ..ApiError::Undecodable { status: self.status.as_u16() }.into() }
    }

    fn failure(&self) -> Failure {
        let Some(detail) = refusal::detail(&self.body) else {
            return Failure { maintenance: self.is_maintenance(), ..self.undecodable() };
        };
        let status = self.status.as_u16();
        let csrf_rejected = status == 403 && detail.contains("CSRF token");
        let retry_after = self.retry_after();
        Failure {
            error: ApiError::Refused { status, detail, retry_after },
            retry_after,
            maintenance: self.is_maintenance(),
            csrf_rejected,
        }
    }

    fn is_maintenance(&self) -> bool {
        self.headers.get(MAINTENANCE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
    }

    /// Seconds, possibly with a fraction. A date is not understood, as in Prefect's own client.
    fn retry_after(&self) -> Option<Duration> {
        let seconds: f64 = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Duration::try_from_secs_f64(seconds.clamp(f64::MIN, LONGEST_RETRY_AFTER)).ok()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn retry_after(value: &'static str) -> Option<Duration> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
        Answer { status: StatusCode::SERVICE_UNAVAILABLE, headers, body: Bytes::new() }.retry_after()
    }

    #[test]
    fn retry_after_is_seconds_within_reason() {
        assert_eq!(retry_after("2"), Some(Duration::from_secs(2)));
        assert_eq!(retry_after(" 0.5 "), Some(Duration::from_millis(500)));
        assert_eq!(retry_after("1e300"), Some(Duration::from_mins(5)));
        for odd in ["-1", "NaN", "Wed, 21 Oct 2026 07:28:00 GMT", ""] {
            assert_eq!(retry_after(odd), None, "{odd}");
        }
    }
}

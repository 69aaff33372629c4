//! Sending a call, once and as often as its kind wants.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use tokio::time::timeout;

use crate::answer::Answer;
use crate::client::Client;
use crate::csrf::CsrfPair;
use crate::error::{ApiError, TransportError};
use crate::headers::{CSRF_CLIENT, CSRF_TOKEN};
use crate::request::Call;
use crate::retry::{CallKind, Failure, Policy};
use crate::traffic::Try;

/// Longest body that is read. A poll returns at most 200 runs with at most half a megabyte of parameters each.
const LONGEST_BODY: usize = 128 * 1024 * 1024;
/// A loop that waits for one answer neither polls nor shows that it is alive.
const LONGEST_POLL: Duration = Duration::from_secs(30);

impl Client {
    /// Makes a call and retries it as its kind says.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time. Whether the server acted is then not known.
    pub(crate) async fn exchange<T>(
        &self,
        call: Call,
        decode: impl Fn(&[u8]) -> Result<T, serde_json::Error>,
    ) -> Result<T, ApiError> {
        let policy = Policy {
            call: call.name,
            kind: call.kind,
            is_optional: call.is_optional,
            settings: &self.shared.retry,
            answered_before: &self.shared.answered_before,
        };
        let lanes = &self.shared.lanes;
        match call.kind {
            CallKind::Poll => {
                // Before its time runs: one that waits behind others says nothing about the API.
                let _place = lanes.enter(self.lane).await;
                match timeout(self.longest_poll(), policy.run(|| self.attempt(&call, &decode))).await {
                    Ok(answer) => answer,
                    Err(elapsed) => Err(ApiError::Unreachable(TransportError::Timeout(elapsed.into()))),
                }
            }
            CallKind::Read | CallKind::Claim => {
                let attempt = || async {
                    let _place = lanes.enter(self.lane).await;
                    self.attempt(&call, &decode).await
                };
                policy.run(attempt).await
            }
        }
    }

    /// What a call that is tried once may take altogether, a new CSRF token and a second try included.
    fn longest_poll(&self) -> Duration {
        self.shared.request_timeout.saturating_mul(3).min(LONGEST_POLL)
    }

    async fn attempt<T>(
        &self,
        call: &Call,
        decode: &impl Fn(&[u8]) -> Result<T, serde_json::Error>,
    ) -> Result<T, Failure> {
        let csrf = if call.mutates() { self.csrf_pair().await? } else { None };
        let answer = self.send(call, csrf.as_ref()).await?;
        let result = answer.decoded(call, decode);
        if result.as_ref().is_err_and(|failure| failure.csrf_rejected) {
            self.shared.csrf.reject(csrf.as_ref()).await;
        }
        result
    }

    /// One try on the wire.
    pub(crate) async fn send(&self, call: &Call, csrf: Option<&CsrfPair>) -> Result<Answer, TransportError> {
        let mut headers = self.headers();
        if let Some(pair) = csrf {
            headers.insert(CSRF_TOKEN, pair.token.clone());
            headers.insert(CSRF_CLIENT, pair.client.clone());
        }
        let mut request = self.shared.http.request(call.method.clone(), call.url.clone());
        if let Some(body) = &call.body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            request = request.body(body.clone());
        }
        let mut tried = Try::begin(self.shared.traffic.as_ref(), call.name);
        let response = request.headers(headers).send().await?;
        self.shared.answered_before.store(true, Ordering::Relaxed);
        let status = response.status();
        let headers = response.headers().clone();
        let body = whole_body(response).await?;
        tried.answered(status.as_u16());
        Ok(Answer { status, headers, body })
    }
}

async fn whole_body(mut response: reqwest::Response) -> Result<Bytes, TransportError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > LONGEST_BODY {
            return Err(TransportError::Interrupted(format!("the answer exceeds {LONGEST_BODY} bytes").into()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

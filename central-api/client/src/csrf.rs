//! The CSRF token that self-hosted servers want on everything that changes something. All copies of a client share one, and
//! fetch it one at a time.

use http::{HeaderValue, Method};
use jiff::Timestamp;
use tokio::sync::Mutex;
use uuid::Uuid;

use central_api_wire::server::CsrfToken;

use crate::answer::Answer;
use crate::client::Client;
use crate::error::ApiError;
use crate::request::Call;
use crate::retry::{CallKind, Failure};

/// The shared state of the token.
pub(crate) struct Csrf {
    client: Uuid,
    token: Mutex<Token>,
}

enum Token {
    /// By setting, or at Cloud: never asked for.
    Disabled,
    /// The server said that it has none.
    NotUsed,
    Wanted,
    Held {
        value: HeaderValue,
        expires: Timestamp,
    },
}

/// The two headers.
#[derive(Clone)]
pub(crate) struct CsrfPair {
    pub(crate) token: HeaderValue,
    pub(crate) client: HeaderValue,
}

impl Csrf {
    pub(crate) fn new(enabled: bool) -> Self {
        let token = if enabled { Token::Wanted } else { Token::Disabled };
        Self { client: Uuid::new_v4(), token: Mutex::new(token) }
    }

    /// Drops a token that the server did not accept, unless another call has replaced it meanwhile.
    pub(crate) async fn reject(&self, used: Option<&CsrfPair>) {
        let mut token = self.token.lock().await;
        let stale = match &*token {
            Token::Held { value, .. } => used.is_some_and(|used| used.token == value),
            Token::NotUsed => true,
            Token::Disabled | Token::Wanted => false,
        };
        if stale {
            *token = Token::Wanted;
        }
    }

    fn pair(&self, value: &HeaderValue) -> Option<CsrfPair> {
        let client = HeaderValue::from_str(&self.client.to_string()).ok()?;
        Some(CsrfPair { token: value.clone(), client })
    }
}

impl Client {
    /// The headers for one call that changes something; fetches a token first if there is none that is still good.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time; the next caller fetches.
    pub(crate) async fn csrf_pair(&self) -> Result<Option<CsrfPair>, Failure> {
        let csrf = &self.shared.csrf;
        let mut token = csrf.token.lock().await;
        match &*token {
            Token::Disabled | Token::NotUsed => return Ok(None),
            Token::Held { value, expires } if *expires > Timestamp::now() => return Ok(csrf.pair(value)),
            Token::Wanted | Token::Held { .. } => {}
        }
        let call = self
            .call(CallKind::Poll, Method::GET, "fetch a CSRF token", &["csrf-token"])
            .query("client", &csrf.client.to_string());
        let answer = self.send(&call, None).await?;
        if matches!(answer.status.as_u16(), 404 | 422) {
            *token = Token::NotUsed;
            return Ok(None);
        }
        let (value, expires) = held(&answer, &call)?;
        let pair = csrf.pair(&value);
        *token = Token::Held { value, expires };
        Ok(pair)
    }
}

fn held(answer: &Answer, call: &Call) -> Result<(HeaderValue, Timestamp), Failure> {
    let fetched = answer.decoded(call, |body| serde_json::from_slice::<CsrfToken>(body))?;
    let mut value = HeaderValue::from_str(&fetched.token)
        .map_err(|_| Failure::from(ApiError::Undecodable { status: answer.status.as_u16() }))?;
    value.set_sensitive(true);
    Ok((value, fetched.expiration))
}

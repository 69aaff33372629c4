//! Whether and when a failed try is repeated. The decision is a pure function of the kind of call and the failure.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::backoff::{Backoff, at_least};
use crate::error::{ApiError, TransportError};
use crate::settings::RetrySettings;

/// Prefect's own client begins with 2 s. A server with `SQLite` answers 503 for the moment in which another writer holds the
/// database, and two seconds for each of those would be what a run spends most of its time on before it starts.
const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// What a call is for; it decides how long it is retried.
///
/// For all kinds a 403 that complains of the CSRF token makes the client fetch a new one and try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// Part of a loop (poll, heartbeat, pool sync), or a report that is asked about between two tries, because a repetition
    /// could replace a state that somebody else has given the run since: tried once, because whoever calls is the retry, and
    /// for three request timeouts or 30 s at most, whichever is shorter, because the caller stands still meanwhile.
    Poll,
    /// Something that a run needs to go on: tried `1 + max_retries` times on transport errors, on 408, 429, 502, 503 and
    /// on the configured extra statuses, and when the server knows no such path, because another application may answer for
    /// a moment. A refused connection is retried only if the API answered this client before, so that a wrong URL fails at
    /// once.
    Read,
    /// As [`Read`](Self::Read), for a call that changes something. An answer with a 2xx status that cannot be decoded is
    /// retried too: the change may have been stored, and giving up would leave it to nobody.
    Claim,
}

/// One try that did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: ApiError,
    pub(crate) retry_after: Option<Duration>,
    /// The server is being maintained: this try is not counted.
    pub(crate) maintenance: bool,
    /// The CSRF token was not accepted; it has been dropped.
    pub(crate) csrf_rejected: bool,
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self { error, retry_after: None, maintenance: false, csrf_rejected: false }
    }
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        ApiError::Unreachable(error).into()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    GiveUp,
    TryAgain { counted: bool },
}

/// How one call is retried.
pub(crate) struct Policy<'a> {
    pub(crate) call: &'static str,
    pub(crate) kind: CallKind,
    /// Whether servers may do without this call's path: then that it is unknown is an answer.
    pub(crate) is_optional: bool,
    pub(crate) settings: &'a RetrySettings,
    /// Whether the API has answered this client before.
    pub(crate) answered_before: &'a AtomicBool,
}

impl Policy<'_> {
    fn next(&self, failure: &Failure, retries: u32) -> Next {
        let left = match self.kind {
            CallKind::Poll => failure.csrf_rejected && retries == 0,
            CallKind::Read | CallKind::Claim => {
                self.is_worth_another_try(failure) && (failure.maintenance || retries < self.settings.max_retries)
            }
        };
        if left { Next::TryAgain { counted: !failure.maintenance } } else { Next::GiveUp }
    }

    fn is_worth_another_try(&self, failure: &Failure) -> bool {
        let busy = |status: u16| matches!(status, 408 | 429 | 502 | 503) || self.settings.extra_codes.contains(&status);
        match &failure.error {
            ApiError::Unencodable(_) => false,
            ApiError::Unreachable(TransportError::Connect(_)) => self.answered_before.load(Ordering::Relaxed),
            ApiError::Unreachable(_) => true,
            ApiError::Undecodable { status: 200..=299 } => self.kind == CallKind::Claim,
            ApiError::Undecodable { status } => busy(*status),
            error if error.is_unknown_path() => !self.is_optional,
            ApiError::Refused { status, .. } => failure.csrf_rejected || busy(*status),
        }
    }

    /// Tries until the call succeeds or the policy gives up; then the last failure is the result.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time. Whether a try that was under way reached the server is then not known.
    pub(crate) async fn run<T, F, Fut>(&self, mut attempt: F) -> Result<T, ApiError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        let jitter = self.settings.jitter_factor;
        let mut backoff = Backoff::new(FIRST_DELAY, LONGEST_DELAY, jitter);
        let mut retries = 0;
        loop {
            let failure = match attempt().await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let Next::TryAgain { counted } = self.next(&failure, retries) else { return Err(failure.error) };
            retries = retries.saturating_add(u32::from(counted));
            let usual = backoff.next_delay();
            let delay = failure.retry_after.map_or(usual, |minimum| at_least(minimum, jitter));
            self.tell(&failure.error, delay);
            tokio::time::sleep(delay).await;
        }
    }

    /// Apart from the loop, whose future could not be sent to another thread if it held this borrow while it sleeps.
    fn tell(&self, error: &(dyn Error + 'static), delay: Duration) {
        tracing::debug!(call = self.call, ?delay, error, "trying again");
    }
}

#[cfg(test)]
mod tests;

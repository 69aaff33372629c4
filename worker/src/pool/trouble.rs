//! A repeated failure is said once, and again when it changes or ends.

use std::time::Duration;

use central_api_client::ApiError;
use tokio::time::Instant;

use crate::run::ErrorChain;

/// The failures of one loop.
#[derive(Debug)]
pub struct Trouble {
    what: &'static str,
    said: Option<String>,
    since: Option<Instant>,
    failures: u32,
}

impl Trouble {
    /// For a loop that does `what`, as in "cannot ...".
    pub const fn new(what: &'static str) -> Self {
        Self { what, said: None, since: None, failures: 0 }
    }

    /// Notes a failure; says it if it is not the first in a row and differs from the last one. A single failure is what a busy
    /// server answers now and then. Gives the number of failures in a row.
    pub fn failed(&mut self, error: &ApiError) -> u32 {
        self.failures = self.failures.saturating_add(1);
        self.since.get_or_insert_with(Instant::now);
        let text = ErrorChain(error).to_string();
        if self.failures == 1 {
            tracing::debug!("cannot {}: {text}", self.what);
        } else if self.said.as_ref() != Some(&text) {
            tracing::warn!("cannot {}; the worker keeps trying: {text}", self.what);
            self.said = Some(text);
        }
        self.failures
    }

    /// Notes a success.
    pub fn worked(&mut self) {
        let since = self.since.take();
        if let (Some(_), Some(since)) = (self.said.take(), since) {
            let lasted = Duration::from_secs(since.elapsed().as_secs());
            tracing::info!("can {} again after {lasted:?} and {} failures", self.what, self.failures);
        }
        self.failures = 0;
    }
}

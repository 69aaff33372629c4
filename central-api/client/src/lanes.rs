//! How many calls are under way at the same time.
//!
//! A server closes no connection that is used, and each that is opened costs it and us more than a call. So calls wait for a
//! connection, first come, first served, instead of opening hundreds that are thrown away.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Calls at the same time. A server has fewer workers than that.
const CALLS: usize = 24;
/// Claims at the same time.
const CLAIMS: usize = 8;

/// As many connections as there are calls at the same time stay open while they are used.
pub(crate) const CONNECTIONS: usize = CALLS + CLAIMS;

/// What a call waits behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lane {
    /// All calls but claims.
    #[default]
    Calls,
    /// Claims, and what they rest on.
    Claims,
}

/// The lanes of one API.
pub(crate) struct Lanes {
    calls: Semaphore,
    claims: Semaphore,
}

impl Default for Lanes {
    fn default() -> Self {
        Self { calls: Semaphore::new(CALLS), claims: Semaphore::new(CLAIMS) }
    }
}

impl Lanes {
    /// Waits for a place. Cancel safe.
    pub(crate) async fn enter(&self, lane: Lane) -> Option<SemaphorePermit<'_>> {
        let lane = match lane {
            Lane::Calls => &self.calls,
            Lane::Claims => &self.claims,
        };
        // It is never closed.
        lane.acquire().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn claims_do_not_wait_behind_reports() {
        let lanes = Lanes::default();
        let mut held = Vec::new();
        while let Some(Some(permit)) = lanes.enter(Lane::Calls).now_or_never() {
            held.push(permit);
        }
        assert_eq!(held.len(), CALLS);
        assert!(lanes.enter(Lane::Claims).now_or_never().is_some());
        held.pop();
        assert!(lanes.enter(Lane::Calls).now_or_never().is_some());
    }
}

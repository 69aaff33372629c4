//! The end of runs that take too long.

use std::time::{Duration, Instant};

use super::ending::Phase;
use super::service::Service;
use crate::confinement::Confinement;

/// How long a run has to end by itself when its time is over.
const GRACE: Duration = Duration::from_secs(10);

/// How far the time of a run is.
#[derive(Debug)]
pub(super) struct TimeLimit {
    seconds: Option<u64>,
    next: Option<Instant>,
    was_told: bool,
}

impl TimeLimit {
    /// The time begins now.
    pub(super) fn of(confinement: &Confinement) -> Self {
        let next = confinement.time_limit.and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds)));
        Self { seconds: confinement.time_limit, next, was_told: false }
    }

    /// What ended the run, if its time did.
    pub(super) fn evidence(&self) -> Option<String> {
        let seconds = self.seconds.filter(|_| self.was_told)?;
        Some(format!(
            "it was ended because it took longer than {seconds} s, which is the worker's `sandbox.time_limit_seconds`"
        ))
    }
}

impl Service {
    /// Asks a run to end whose time is over, and kills it when it does not.
    pub(super) fn watch_the_time(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Running) || self.time.next.is_none_or(|next| now < next) {
            return;
        }
        self.was_killed = true;
        if std::mem::replace(&mut self.time.was_told, true) {
            self.time.next = None;
            self.sweep.begin(now);
        } else {
            self.time.next = Some(now + GRACE);
            self.terminate();
        }
    }

    pub(super) fn time_deadline(&self) -> Option<Instant> {
        self.time.next.filter(|_| matches!(self.phase, Phase::Running))
    }
}

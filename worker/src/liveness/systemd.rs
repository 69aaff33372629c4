//! What systemd is told: that the daemon serves, that it stops, and that its loops turn.
//!
//! Without `NOTIFY_SOCKET` in the environment nothing is sent. A watchdog that is not fed makes systemd restart the daemon,
//! whose runs go on meanwhile.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Liveness, Pulse};
use crate::live_runs::LiveRuns;

/// Mean time between two looks at the number of runs.
pub const PERIOD: Duration = Duration::from_secs(5);

/// By how much a daemon that stops moves the end of systemd's patience: it may wait for runs longer than `TimeoutStopSec`.
const MORE_TIME: Duration = Duration::from_secs(30);

/// Tells systemd how the daemon is.
pub struct Systemd {
    /// The loops.
    pub liveness: Liveness,
    /// The runs.
    pub live: LiveRuns,
    /// Set once the daemon serves.
    pub serves: watch::Receiver<bool>,
    /// Shows that systemd is told.
    pub pulse: Pulse,
}

impl Systemd {
    /// Whether anybody listens.
    pub fn is_listening() -> bool {
        std::env::var_os("NOTIFY_SOCKET").is_some()
    }

    /// Tells until the daemon has stopped: `stopping` is that it begins to, `stop` that it has.
    pub async fn run(mut self, stopping: CancellationToken, stop: CancellationToken) {
        let period = period(sd_notify::watchdog_enabled());
        let mut told = String::new();
        let mut is_ready = false;
        let mut is_stopping = false;
        loop {
            let status = status(self.live.total(), is_ready, is_stopping);
            if status != told {
                tell(&[NotifyState::Status(&status)]);
                told = status;
            }
            self.feed_the_watchdog(is_stopping);
            tokio::select! {
                () = stop.cancelled() => return,
                () = stopping.cancelled(), if !is_stopping => {
                    is_stopping = true;
                    tell(&[NotifyState::Stopping, more_time()]);
                }
                Ok(_) = self.serves.wait_for(|serves| *serves), if !is_ready => {
                    is_ready = true;
                    tell(&[NotifyState::Ready]);
                }
                () = self.pulse.idle(tokio::time::sleep(period)) => {}
            }
        }
    }

    fn feed_the_watchdog(&self, is_stopping: bool) {
        let stalled = self.liveness.stalled();
        if !stalled.is_empty() {
            tracing::error!("the watchdog is not fed: {} hangs", stalled.join(", "));
        } else if is_stopping {
            tell(&[NotifyState::Watchdog, more_time()]);
        } else {
            tell(&[NotifyState::Watchdog]);
        }
    }
}

/// Half of the time that the watchdog waits, and often enough for a status that is worth reading.
fn period(watchdog: Option<Duration>) -> Duration {
    watchdog.map_or(PERIOD, |limit| (limit / 2).min(PERIOD))
}

fn status(runs: usize, is_ready: bool, is_stopping: bool) -> String {
    match (is_stopping, is_ready) {
        (true, _) => format!("stopping, {runs} runs are still here"),
        (false, true) => format!("serving, {runs} runs"),
        (false, false) => format!("waiting for the API, {runs} runs"),
    }
}

fn more_time() -> NotifyState<'static> {
    NotifyState::ExtendTimeoutUsec(u32::try_from(MORE_TIME.as_micros()).unwrap_or(u32::MAX))
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!("systemd was not told: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_fed_twice_in_its_time() {
        assert_eq!(period(Some(Duration::from_secs(4))), Duration::from_secs(2));
        assert_eq!(period(Some(Duration::from_mins(1))), PERIOD);
        assert_eq!(period(None), PERIOD);
    }

    #[test]
    fn the_status_is_one_line_that_says_what_goes_on() {
        assert_eq!(status(3, true, false), "serving, 3 runs");
        assert_eq!(status(3, true, true), "stopping, 3 runs are still here");
        assert_eq!(status(0, false, false), "waiting for the API, 0 runs");
    }
}

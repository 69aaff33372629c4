//! The observer of one pool, and how it keeps a stream open.

use std::time::Duration;

use central_api_client::{Client, EventsOut, StreamError};
use central_api_wire::flow_run::FlowRun;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use worker_core::ids::WorkPoolId;
use worker_core::machine::{Input, StopReason};

use super::asking::Prompts;
use super::filter::events;
use super::following::Ended;
use super::policy::{CancellationPolicy, Reaction};
use super::sight::STEADY_AFTER;
use crate::live_runs::{LiveRuns, PoolIndex};
use crate::liveness::Pulse;
use crate::metrics::{ApiStream, Metrics};
use crate::pool::{Announcements, PoolView, pace};
use crate::run::ErrorChain;

/// Longest pause between two attempts to open a stream.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The time for opening a stream. One that an API never opens must not keep the next try waiting for long.
const LONGEST_OPENING: Duration = Duration::from_mins(1);
/// A question that was not answered by then is asked again: the client alone would try it for many minutes.
pub(crate) const LONGEST_QUESTION: Duration = Duration::from_secs(30);

/// The observer of one pool worker.
pub struct Observer {
    /// The API, attributed to this worker.
    pub client: Client,
    /// Which pool.
    pub pool: PoolIndex,
    /// The pool as it is now.
    pub view: PoolView,
    /// The runs to tell.
    pub live: LiveRuns,
    /// Which cancellations are ours.
    pub policy: CancellationPolicy,
    /// Mean time between questions while there is no stream.
    pub poll_interval: Duration,
    /// `PREFECT_RUNNER_CRASH_ON_CANCELLATION_FAILURE`: end the runs when for a long time there is neither stream nor answer.
    pub crash_when_blind: bool,
    /// Where broken streams are counted.
    pub metrics: Metrics,
    /// The name of the pool.
    pub name: String,
    /// Whom to tell of runs that became Scheduled; none if nobody wants to know.
    pub pick_up: Option<PickUpEvents>,
    /// That streams are opened and followed.
    pub listening: Pulse,
    /// That questions are asked.
    pub asking: Pulse,
}

/// Whom to tell of runs that became Scheduled.
pub struct PickUpEvents {
    /// The poller of the pool.
    pub announcements: Announcements,
    /// In which queues; none means all.
    pub queues: Vec<String>,
}

impl Observer {
    /// Observes until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let prompts = Prompts::default();
        tokio::select! {
            () = self.keep_listening(&prompts, &stop) => {}
            () = self.keep_asking(&prompts) => {}
        }
    }

    /// Opens one stream after the other until told to stop. Whatever ended one, another is opened: also a clean end, after
    /// a server's restart for one, must not end the observing.
    async fn keep_listening(&self, prompts: &Prompts, stop: &CancellationToken) {
        let mut failures = 0_u32;
        loop {
            let Some((pool, connected)) = stop.run_until_cancelled(Box::pin(self.connect())).await else { return };
            let ended = match connected {
                Err(error) => Ended::Broken(error),
                Ok(stream) => {
                    let opened = Instant::now();
                    prompts.stream_opened(opened);
                    let ended = self.listening.idle(self.follow(stream, pool, prompts, stop)).await;
                    prompts.stream_ended();
                    // A proxy that accepts and cuts must not make us connect every second.
                    if opened.elapsed() >= STEADY_AFTER {
                        failures = 0;
                    }
                    ended
                }
            };
            let why = match ended {
                Ended::Stopped => return,
                Ended::PoolReplaced => continue,
                Ended::Closed => "it ended".to_owned(),
                Ended::Broken(error) => ErrorChain(&error).to_string(),
            };
            self.metrics.stream_restarted(&self.name, ApiStream::Events);
            failures = failures.saturating_add(1);
            if failures == 1 {
                tracing::debug!("no stream of events, asking at an interval: {why}");
            }
            let pause = pace::after_failure(failures, LONGEST_PAUSE, None);
            if stop.run_until_cancelled(self.listening.idle(sleep(pause))).await.is_none() {
                return;
            }
        }
    }

    async fn connect(&self) -> (WorkPoolId, Result<EventsOut, StreamError>) {
        let pool = self.listening.idle(self.view.known()).await.id;
        let filter = events(pool, self.pick_up.is_some());
        let opening = timeout(LONGEST_OPENING, self.client.connect_events_out(&filter));
        let opened = self.listening.during(LONGEST_OPENING, opening).await;
        (pool, opened.unwrap_or(Err(StreamError::Silent)))
    }

    /// Tells a run, as the API has it now, to stop if that is for us to do.
    pub(super) fn react(&self, current: &FlowRun) {
        let Some(seen) = self.live.seen(self.pool, current.id) else { return };
        if self.policy.reaction(current, seen.cancels_itself()) == Reaction::Stop {
            self.live.tell(self.pool, current.id, Input::Stop(StopReason::Cancelled));
        }
    }
}

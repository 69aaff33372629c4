//! The loop that notices cancellations for one pool.

use std::sync::Arc;
use std::time::Duration;

use central_api_client::{ApiError, Client, EventsOut, StreamError};
use central_api_wire::event::{AnyResourceFilter, Event, EventFilter, EventNameFilter, OccurredFilter};
use central_api_wire::flow_run::{AnyOf, FlowRun, FlowRunFilter, FlowRunsFilterRequest, StateFilter};
use central_api_wire::state::StateType;
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use worker_core::ids::{RunId, WorkPoolId};
use worker_core::machine::{Input, StopReason};

use super::policy::{CancellationPolicy, Reaction};
use crate::live_runs::{LiveRuns, PoolIndex};
use crate::pool::{PoolView, pace};
use crate::run::ErrorChain;

const CANCELLING: &str = "prefect.flow-run.Cancelling";
/// A stream begins a little in the past, so that nothing is lost between two streams.
const BACKFILL: SignedDuration = SignedDuration::from_mins(1);
const FAR: SignedDuration = SignedDuration::from_hours(24 * 365);

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
}

/// Questions in a row without an answer after which nobody can tell any more whether runs are cancelled.
const BLIND_AFTER: u32 = 12;

impl Observer {
    /// Observes until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        if !self.policy.observes() {
            return;
        }
        let this = Arc::new(self);
        tokio::select! {
            () = stop.cancelled() => {}
            () = this.observe() => {}
        }
    }

    async fn observe(&self) {
        let pool = self.view.known().await.id;
        let mut failures = 0_u32;
        let mut unanswered = 0_u32;
        loop {
            let broken = match self.client.connect_events_out(&filter(pool)).await {
                Ok(stream) => {
                    failures = 0;
                    unanswered = 0;
                    self.follow(stream).await
                }
                Err(error) => Some(error),
            };
            failures = failures.saturating_add(1);
            if failures == 1 {
                let why = broken.map_or_else(|| "it ended".to_owned(), |error| ErrorChain(&error).to_string());
                tracing::debug!("no stream of cancellations, asking at an interval: {why}");
            }
            let reconnect = tokio::time::sleep(pace::after_failure(failures, Duration::from_secs(30), None));
            tokio::pin!(reconnect);
            // Between two streams, and for as long as there is none, the API is asked.
            loop {
                unanswered = if self.ask().await { 0 } else { unanswered.saturating_add(1) };
                if unanswered >= BLIND_AFTER && self.crash_when_blind {
                    self.end_unobserved_runs();
                }
                tokio::select! {
                    () = &mut reconnect => break,
                    () = tokio::time::sleep(pace::jittered(self.poll_interval)) => {}
                }
            }
        }
    }

    /// Follows a stream to its end. Whatever ended it, another one is opened: also a clean end, after a server's restart
    /// for one, must not end the observing.
    async fn follow(&self, mut stream: EventsOut) -> Option<StreamError> {
        loop {
            match stream.next().await {
                Ok(None) => return None,
                Ok(Some(event)) => {
                    if let Some(run) = cancelled_run(&event)
                        && self.live.contains(self.pool, run)
                    {
                        self.look_at(run).await;
                    }
                }
                Err(error) => return Some(error),
            }
        }
    }

    /// Reads a run and tells it to stop if it is to be cancelled.
    async fn look_at(&self, run: RunId) {
        match self.client.flow_run(run).await {
            Ok(current) => self.react(&current),
            Err(error) if error.is_not_found() => {}
            // Better to stop a run that somebody asked to cancel than to miss it.
            Err(error) => {
                tracing::warn!(%run, "said to be cancelled and not readable: {}", ErrorChain(&error));
                self.live.tell(self.pool, run, Input::Stop(StopReason::Cancelled));
            }
        }
    }

    /// Asks, if there is anything to ask for. False if no answer came.
    async fn ask(&self) -> bool {
        let live = self.live.ids(self.pool);
        if live.is_empty() {
            return true;
        }
        match self.cancelling(live).await {
            Ok(runs) => {
                for run in &runs {
                    self.react(run);
                }
                true
            }
            Err(error) => {
                tracing::debug!("cannot ask for cancellations: {}", ErrorChain(&error));
                false
            }
        }
    }

    fn end_unobserved_runs(&self) {
        for run in self.live.ids(self.pool) {
            tracing::error!(%run, "cannot tell whether it was cancelled; it is ended, as the settings ask");
            self.live.tell(self.pool, run, Input::Stop(StopReason::Unobserved));
        }
    }

    async fn cancelling(&self, live: Vec<RunId>) -> Result<Vec<FlowRun>, ApiError> {
        self.client.flow_runs(&cancelling_filter(live)).await
    }

    fn react(&self, run: &FlowRun) {
        if self.policy.reaction(Some(run)) == Reaction::Stop {
            self.live.tell(self.pool, run.id, Input::Stop(StopReason::Cancelled));
        }
    }
}

/// The cancellations of one pool's runs.
fn filter(pool: WorkPoolId) -> EventFilter {
    let now = Timestamp::now();
    EventFilter {
        occurred: Some(OccurredFilter {
            since: now.checked_sub(BACKFILL).unwrap_or(now),
            until: now.checked_add(FAR).unwrap_or(now),
        }),
        event: Some(EventNameFilter { name: Some(vec![CANCELLING.to_owned()]) }),
        any_resource: Some(AnyResourceFilter { id: Some(vec![format!("prefect.work-pool.{pool}")]) }),
        order: None,
    }
}

/// The runs of this worker that are being cancelled, or were while they ran.
fn cancelling_filter(live: Vec<RunId>) -> FlowRunsFilterRequest {
    FlowRunsFilterRequest {
        flow_runs: Some(FlowRunFilter {
            id: Some(AnyOf { any_: live }),
            state: Some(StateFilter {
                state_type: Some(AnyOf { any_: vec![StateType::Cancelling, StateType::Cancelled] }),
                name: None,
            }),
        }),
        ..FlowRunsFilterRequest::default()
    }
}

fn cancelled_run(event: &Event) -> Option<RunId> {
    let id = event.resource.get("prefect.resource.id")?.strip_prefix("prefect.flow-run.")?;
    (event.event == CANCELLING).then(|| id.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn c118_the_stream_is_filtered_by_the_pool_and_the_questions_by_the_live_runs() {
        let pool = WorkPoolId(Uuid::from_u128(5));
        let filter = serde_json::to_value(filter(pool)).unwrap();
        assert_eq!(filter["any_resource"]["id"], json!([format!("prefect.work-pool.{pool}")]));
        assert_eq!(filter["event"]["name"], json!(["prefect.flow-run.Cancelling"]));
        let run = RunId(Uuid::from_u128(6));
        let question = serde_json::to_value(cancelling_filter(vec![run])).unwrap();
        assert_eq!(question["flow_runs"]["id"]["any_"], json!([run]));
    }

    #[test]
    fn only_the_cancelling_event_of_a_run_names_a_run() {
        let event = |name: &str, resource: &str| -> Event {
            serde_json::from_value(json!({
                "occurred": "2026-11-21T01:00:00Z", "event": name, "id": Uuid::nil(),
                "resource": {"prefect.resource.id": resource},
            }))
            .unwrap()
        };
        let id = RunId(Uuid::from_u128(6));
        let resource = format!("prefect.flow-run.{id}");
        assert_eq!(cancelled_run(&event(CANCELLING, &resource)), Some(id));
        assert_eq!(cancelled_run(&event("prefect.flow-run.Running", &resource)), None);
        assert_eq!(cancelled_run(&event(CANCELLING, "prefect.flow-run.not-a-uuid")), None);
        assert_eq!(cancelled_run(&event(CANCELLING, "prefect.deployment.x")), None);
    }
}

//! Runs whose infrastructure somebody else launched: another worker, or this one before its records were lost.
//!
//! Prefect's worker observes the infrastructure of all runs of its kind, whoever launched it, so that a run whose worker is
//! gone is still known to have crashed. The loop does the same; what this daemon executes itself is left to its actors.
//! Several observers do no harm: ids of events follow from what happened, and a crash is proposed, never forced.

mod crash;

use std::sync::Arc;
use std::time::Duration;

use central_api_client::Client;
use central_api_wire::event::Event;
use central_api_wire::log::LogLine;
use futures::StreamExt as _;
use infra_contract::{InfraObserver, Observation, Observed, Occurrence, Severity};
use jiff::Timestamp;
use serde_json::Map;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use worker_core::ids::RunId;

use super::error_chain::ErrorChain;
use super::log::DIAGNOSIS_LOGGER;
use super::waiting;
use crate::control_plane::ControlPlane;
use crate::live_runs::LiveRuns;
use crate::liveness::Pulse;

/// So many observations are dealt with at a time; the others wait where they are made.
const AT_ONCE: usize = 32;
const ENDS_AT_ONCE: usize = 16;
/// An API that is away holds observations up, but each of them only for as long as its calls are tried.
const LONGEST_QUEUE: Duration = Duration::from_mins(10);

/// The loop of one kind of infrastructure.
#[derive(Clone)]
pub struct Elsewhere {
    /// What is seen.
    pub observer: Arc<dyn InfraObserver>,
    /// The API, as what becomes of runs is told to it.
    pub api: Arc<dyn ControlPlane>,
    /// The API, for what only this loop asks.
    pub client: Client,
    /// What this daemon executes itself.
    pub live: LiveRuns,
    /// So many ends are looked into at a time: a cluster keeps thousands of Jobs that failed long ago.
    pub(crate) at_once: Arc<Semaphore>,
}

impl Elsewhere {
    /// A loop that has not begun.
    pub fn new(observer: Arc<dyn InfraObserver>, api: Arc<dyn ControlPlane>, client: Client, live: LiveRuns) -> Self {
        Self { observer, api, client, live, at_once: Arc::new(Semaphore::new(ENDS_AT_ONCE)) }
    }

    /// Observes until told to stop.
    pub async fn run(self, pulse: Pulse, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let questions = Arc::new(Semaphore::new(self.observer.asked_at_once().max(1)));
        let mut observed = self.observer.observations();
        loop {
            let observed = tokio::select! {
                () = stop.cancelled() => return,
                observed = pulse.idle(observed.next()) => observed,
            };
            let Some(observed) = observed else { return };
            if self.live.is_live(observed.run) {
                continue;
            }
            // An end may be waited with for minutes.
            let place = match &observed.observation {
                Observation::Ended { .. } => None,
                Observation::Occurred { .. } | Observation::Waiting(_) | Observation::Diagnosis { .. } => {
                    pulse.during(LONGEST_QUEUE, Arc::clone(&places).acquire_owned()).await.ok()
                }
            };
            let (this, questions, stop) = (self.clone(), Arc::clone(&questions), stop.clone());
            tasks.spawn(async move {
                let _place = place;
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = this.take(observed, &questions) => {}
                }
            });
        }
    }

    async fn take(&self, observed: Observed, questions: &Semaphore) {
        let run = observed.run;
        match observed.observation {
            Observation::Occurred { occurrence, is_old } => {
                if !is_old || !self.was_told(&occurrence, questions).await {
                    self.api.emit(event(occurrence));
                }
            }
            Observation::Waiting(why) => waiting::announce_elsewhere(&*self.api, run, &why).await,
            Observation::Diagnosis { severity, text } => {
                tracing::info!(%run, "infrastructure of another worker: {text}");
                self.api.log(diagnosis(run, severity, text));
            }
            Observation::Ended { infrastructure, message, patience } => {
                self.crash(run, &infrastructure, message, patience).await;
            }
        }
    }

    /// Whether the API has an event already. If it does not say, the event is told: the server knows it by its id.
    async fn was_told(&self, occurrence: &Occurrence, questions: &Semaphore) -> bool {
        let Ok(_place) = questions.acquire().await else { return false };
        match self.client.has_event(occurrence.id).await {
            Ok(has) => has,
            Err(error) => {
                tracing::debug!("whether an event was told is not known: {}", ErrorChain(&error));
                false
            }
        }
    }
}

fn event(occurrence: Occurrence) -> Event {
    Event {
        occurred: occurrence.occurred,
        event: occurrence.event,
        resource: occurrence.resource,
        related: occurrence.related,
        payload: Map::new(),
        id: occurrence.id,
        follows: occurrence.follows,
    }
}

fn diagnosis(run: RunId, severity: Severity, message: String) -> LogLine {
    let level = if severity == Severity::Error { 40 } else { 30 };
    let (name, timestamp) = (DIAGNOSIS_LOGGER.to_owned(), Timestamp::now());
    LogLine { name, level, message, timestamp, flow_run_id: Some(run), worker_id: None }
}

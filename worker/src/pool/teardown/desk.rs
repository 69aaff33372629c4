//! Tearing down.

use std::sync::Arc;
use std::time::Duration;

use central_api_client::Client;
use infra_contract::{ErrorClass, InfraPlugin, Named};
use tokio::time::timeout;
use worker_core::handle::Handle;
use worker_core::ids::{InfraId, RunId};
use worker_core::machine::{Input, KillIntent, StopReason};

use super::judgement::{self, Conclusion, Reason, Task};
use super::wording::Target;
use crate::live_runs::{LiveRuns, Sighting};
use crate::metrics::Metrics;
use crate::run::ErrorChain;
use crate::timeline::Timelines;

/// The run is read, and our infrastructure listed, within this time or not at all: the server hands the message out again.
const LONGEST_QUESTION: Duration = Duration::from_mins(1);
/// Time to end after SIGTERM, for infrastructure that no live run stands for.
const GRACE: Duration = Duration::from_secs(30);

/// What a clean-up needs.
pub struct TeardownDesk {
    /// The API, attributed to this worker.
    pub client: Client,
    /// All live runs.
    pub live: LiveRuns,
    /// The kind of infrastructure.
    pub plugin: Arc<dyn InfraPlugin>,
    /// What happened to runs.
    pub timelines: Timelines,
    /// Where what came of messages is counted.
    pub metrics: Metrics,
}

impl TeardownDesk {
    /// Does what a message asks for. Cancel safe: what was begun is found again by the next message.
    pub(super) async fn tear_down(&self, target: &Target) -> Conclusion {
        let id = target.flow_run_id;
        let run = match timeout(LONGEST_QUESTION, self.client.flow_run(id)).await {
            Ok(Ok(run)) => Some(run),
            Ok(Err(error)) if error.is_not_found() => None,
            Ok(Err(error)) => {
                tracing::debug!(run = %id, "a run to be cleaned up is not readable: {}", ErrorChain(&error));
                return Conclusion::Release(Reason::HandlerFailed);
            }
            Err(_) => return Conclusion::Release(Reason::HandlerFailed),
        };
        let live = self.live.sightings().into_iter().find(|live| live.seen.key.run == id);
        let seen = live.as_ref().map(|live| &live.seen);
        match (judgement::task(run.as_ref(), target.infrastructure_pid.as_deref(), seen), &live) {
            (Task::Conclude(conclusion), _) => conclusion,
            (Task::StopTheRun, Some(live)) => self.stop(live).await,
            (Task::StopTheRun, None) => Conclusion::Ack,
            (Task::LookFor(infrastructure), _) => self.look_for(id, infrastructure).await,
        }
    }

    /// Stops a live run and waits until it is over.
    async fn stop(&self, live: &Sighting) -> Conclusion {
        let key = live.seen.key;
        tracing::info!(run = %key.run, "the server gave up waiting for the end of this cancelled run; it is stopped");
        self.live.tell(live.pool, key.run, Input::Stop(StopReason::Cancelled));
        let mut changes = self.live.changes();
        while self.live.has(key) && changes.changed().await.is_ok() {}
        Conclusion::Ack
    }

    /// Stops infrastructure that no live run stands for.
    async fn look_for(&self, run: RunId, infrastructure: &str) -> Conclusion {
        let id = InfraId(infrastructure.to_owned());
        let found = match timeout(LONGEST_QUESTION, self.plugin.named(&id)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::warn!(%run, "cannot look for {infrastructure}: {}", ErrorChain(&error));
                return Conclusion::Release(Reason::HandlerFailed);
            }
            Err(_) => return Conclusion::Release(Reason::HandlerFailed),
        };
        match found {
            Named::Found(handle) if handle.key.run == run => self.kill(&handle).await,
            Named::Gone => Conclusion::Ack,
            Named::Found(_) | Named::Elsewhere if self.was_started_here(run, infrastructure) => Conclusion::Ack,
            Named::Found(_) | Named::Elsewhere => Conclusion::Release(Reason::InfrastructureNotAvailable),
        }
    }

    async fn kill(&self, handle: &Handle) -> Conclusion {
        match self.plugin.kill(handle, KillIntent::Cancel, GRACE).await {
            Ok(_) => Conclusion::Ack,
            Err(error) if error.class == ErrorClass::Unsupported => Conclusion::Release(Reason::UnsupportedWorkerType),
            Err(error) => {
                tracing::warn!(run = %handle.key.run, "it could not be stopped: {}", ErrorChain(&error));
                Conclusion::Release(Reason::HandlerFailed)
            }
        }
    }

    /// Whether a run that is over was executed on this infrastructure: then it is gone. A bare process id says
    /// nothing about the host that it belongs to.
    fn was_started_here(&self, run: RunId, infrastructure: &str) -> bool {
        self.timelines.was_executed_on(run, infrastructure)
    }
}

//! One pass over everything that is ours.

use std::collections::HashMap;
use std::time::Duration;

use central_api_client::ApiError;
use central_api_wire::flow_run::{AnyOf, FlowRun, FlowRunFilter, FlowRunsFilterRequest};
use futures::StreamExt as _;
use futures::stream::{self, FuturesUnordered};
use infra_contract::InfraPlugin;
use jiff::Timestamp;
use tokio::time::timeout;
use worker_core::handle::Handle;
use worker_core::ids::RunId;
use worker_core::machine::KillIntent;

use super::Repair;
use super::judgement::{self, Known, Stray};
use crate::live_runs::Sighting;
use crate::metrics::Repaired;
use crate::run::{ErrorChain, moved_on};

/// So many runs are asked for at once. A server may answer fewer, so who is missing is asked for alone.
const AT_ONCE: usize = 200;
/// A backend that does not answer for so long is passed over until the next pass.
const OWNED: Duration = Duration::from_secs(30);
/// So many strays are seen to at the same time.
const STRAYS_AT_ONCE: usize = 8;

impl Repair {
    /// Compares and repairs. What can be done without the API is done first. True if what others left is still being looked at.
    pub(super) async fn pass(&self) -> Result<bool, ApiError> {
        let more_to_come = self.adoption.adopt_left().await;
        self.adoption.adopt_forgotten().await;
        let strays = self.strays().await;
        for some in self.live.sightings_of(self.workspace).chunks(AT_ONCE) {
            self.compare(some).await?;
        }
        let ids: Vec<RunId> = strays.iter().map(|(_, stray)| stray.key.run).collect();
        let runs = self.runs(&ids).await?;
        stream::iter(strays)
            .for_each_concurrent(STRAYS_AT_ONCE, |(plugin, stray)| self.take_in_hand(plugin, stray, &runs))
            .await;
        Ok(more_to_come)
    }

    /// Tells runs what the API decided about them unheard. A few at a time: what the API has of thousands is many times what a worker
    /// needs for them.
    async fn compare(&self, live: &[Sighting]) -> Result<(), ApiError> {
        let ids: Vec<RunId> = live.iter().map(|sighting| sighting.seen.key.run).collect();
        let runs = self.runs(&ids).await?;
        let now = Timestamp::now();
        for sighting in live {
            let key = sighting.seen.key;
            // It may have gone another way meanwhile.
            if !self.live.has(key) {
                continue;
            }
            if let Some(input) = judgement::of_live(&sighting.seen, runs.of(key.run), now) {
                tracing::debug!(run = %key.run, ?input, "repair");
                self.metrics.repaired(Repaired::RunStopped);
                self.live.tell(sighting.pool, key.run, input);
            }
        }
        Ok(())
    }

    /// Infrastructure with our mark that no live run knows. Asked for before the runs are listed: what is started meanwhile
    /// is then known.
    async fn strays(&self) -> Vec<(&dyn InfraPlugin, Handle)> {
        let mut strays = Vec::new();
        for plugin in &self.plugins {
            match timeout(OWNED, plugin.owned()).await {
                Ok(Ok(owned)) => {
                    let unknown = |handle: &Handle| !self.live.is_live(handle.key.run);
                    strays.extend(owned.into_iter().filter(unknown).map(|handle| (&**plugin, handle)));
                }
                Ok(Err(error)) => {
                    tracing::warn!(kind = %plugin.kind(), "cannot list what runs here: {}", ErrorChain(&error));
                }
                Err(_) => tracing::warn!(kind = %plugin.kind(), "cannot list what runs here: no answer in {OWNED:?}"),
            }
        }
        strays
    }

    /// What the API has of some runs. That one is missing in a list proves nothing, so it is asked for by its id.
    async fn runs(&self, ids: &[RunId]) -> Result<Runs, ApiError> {
        let mut runs = Runs::default();
        for some in ids.chunks(AT_ONCE) {
            let filter = FlowRunFilter { id: Some(AnyOf { any_: some.to_vec() }), ..FlowRunFilter::default() };
            let request = FlowRunsFilterRequest { flow_runs: Some(filter), ..FlowRunsFilterRequest::default() };
            runs.0.extend(self.client.flow_runs(&request).await?.into_iter().map(|run| (run.id, Some(run))));
            let missing = some.iter().filter(|id| !runs.0.contains_key(id));
            let mut alone: FuturesUnordered<_> =
                missing.map(|id| async { (*id, self.client.flow_run(*id).await) }).collect();
            let mut found = Vec::new();
            while let Some((id, answer)) = alone.next().await {
                match answer {
                    Ok(run) => found.push((id, Some(run))),
                    Err(error) if error.is_not_found() => found.push((id, None)),
                    Err(error) => tracing::debug!(run = %id, "cannot be read: {}", ErrorChain(&error)),
                }
            }
            drop(alone);
            runs.0.extend(found);
        }
        Ok(runs)
    }

    async fn take_in_hand(&self, plugin: &dyn InfraPlugin, stray: Handle, runs: &Runs) {
        let key = stray.key;
        let known = runs.of(key.run);
        let has_moved_on = match (known, self.client.flow_run_states(key.run).await) {
            (Known::Run(_), Ok(history)) => moved_on(key, &history),
            (Known::Run(_), Err(_)) => return,
            (Known::Deleted | Known::Unknown, _) => false,
        };
        match (judgement::of_stray(known, has_moved_on), known) {
            (Stray::Adopt, Known::Run(run)) => self.adoption.adopt_stray(stray, run).await,
            (Stray::Remove, _) => {
                let id = stray.infra_id.clone();
                tracing::warn!(run = %key.run, infrastructure = %id, "it is ours and its run is over: it is removed");
                let removed = async {
                    plugin.kill(&stray, KillIntent::Shutdown, self.grace).await?;
                    plugin.cleanup(&stray).await
                };
                match removed.await {
                    Ok(()) => self.metrics.repaired(Repaired::StrayRemoved),
                    Err(error) => {
                        let why = ErrorChain(&error);
                        tracing::warn!(run = %key.run, "it was not removed, and will be tried again: {why}");
                    }
                }
            }
            (Stray::Leave | Stray::Adopt, _) => {}
        }
    }
}

/// What is known of runs: `None` if one was deleted, absent if the API does not say.
#[derive(Default)]
struct Runs(HashMap<RunId, Option<FlowRun>>);

impl Runs {
    fn of(&self, run: RunId) -> Known<'_> {
        match self.0.get(&run) {
            Some(Some(run)) => Known::Run(run),
            Some(None) => Known::Deleted,
            None => Known::Unknown,
        }
    }
}

//! One pass over everything that is ours.

use std::collections::HashMap;

use central_api_client::ApiError;
use central_api_wire::flow_run::{AnyOf, FlowRun, FlowRunFilter, FlowRunsFilterRequest};
use infra_contract::InfraPlugin;
use jiff::Timestamp;
use worker_core::handle::Handle;
use worker_core::ids::RunId;
use worker_core::machine::KillIntent;

use super::Repair;
use super::judgement::{self, Stray};
use crate::run::ErrorChain;

/// The server returns no more at once.
const AT_ONCE: usize = 200;

impl Repair {
    /// Compares and repairs. What can be done without the API is done first.
    pub(super) async fn pass(&self) -> Result<(), ApiError> {
        self.adoption.adopt_left().await;
        let strays = self.strays().await;
        let live = self.live.sightings();
        let ids: Vec<RunId> = live
            .iter()
            .map(|sighting| sighting.seen.key.run)
            .chain(strays.iter().map(|(_, stray)| stray.key.run))
            .collect();
        let runs = self.runs(&ids).await?;
        let now = Timestamp::now();
        for sighting in &live {
            let key = sighting.seen.key;
            // It may have gone another way meanwhile.
            if !self.live.has(key) {
                continue;
            }
            if let Some(input) = judgement::of_live(&sighting.seen, runs.get(&key.run), now) {
                tracing::debug!(run = %key.run, ?input, "repair");
                self.live.tell(sighting.pool, key.run, input);
            }
        }
        for (plugin, stray) in strays {
            self.take_in_hand(plugin, stray, &runs).await;
        }
        Ok(())
    }

    /// Infrastructure with our mark that no live run knows. Asked for before the runs are listed: what is started meanwhile
    /// is then known.
    async fn strays(&self) -> Vec<(&dyn InfraPlugin, Handle)> {
        let mut strays = Vec::new();
        for plugin in &self.plugins {
            match plugin.owned().await {
                Ok(owned) => {
                    let unknown = |handle: &Handle| !self.live.has(handle.key) && !self.live.is_live(handle.key.run);
                    strays.extend(owned.into_iter().filter(unknown).map(|handle| (&**plugin, handle)));
                }
                Err(error) => {
                    tracing::warn!(kind = %plugin.kind(), "cannot list what runs here: {}", ErrorChain(&error));
                }
            }
        }
        strays
    }

    async fn runs(&self, ids: &[RunId]) -> Result<HashMap<RunId, FlowRun>, ApiError> {
        let mut runs = HashMap::new();
        for some in ids.chunks(AT_ONCE) {
            let filter = FlowRunFilter { id: Some(AnyOf { any_: some.to_vec() }), state: None };
            let request = FlowRunsFilterRequest { flow_runs: Some(filter), ..FlowRunsFilterRequest::default() };
            runs.extend(self.client.flow_runs(&request).await?.into_iter().map(|run| (run.id, run)));
        }
        Ok(runs)
    }

    async fn take_in_hand(&self, plugin: &dyn InfraPlugin, stray: Handle, runs: &HashMap<RunId, FlowRun>) {
        let run = runs.get(&stray.key.run);
        match judgement::of_stray(run) {
            Stray::Adopt => {
                if let Some(run) = run {
                    self.adoption.adopt_stray(stray, run).await;
                }
            }
            Stray::Remove => {
                let (key, id) = (stray.key, stray.infra_id.clone());
                tracing::warn!(run = %key.run, infrastructure = %id, "it is ours and its run is over: it is removed");
                let removed = async {
                    plugin.kill(&stray, KillIntent::Shutdown, self.grace).await?;
                    plugin.cleanup(&stray).await
                };
                if let Err(error) = removed.await {
                    tracing::warn!(run = %key.run, "it was not removed, and will be tried again: {}", ErrorChain(&error));
                }
            }
        }
    }
}

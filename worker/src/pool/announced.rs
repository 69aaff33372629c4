//! Polling because the event stream says so.

use central_api_wire::flow_run::{AnyOf, FlowRun, FlowRunFilter, FlowRunsFilterRequest, StateFilter};
use central_api_wire::state::StateType;
use jiff::Timestamp;
use tokio::time::{Instant, sleep_until, timeout};
use worker_core::ids::RunId;

use super::pick_up::{Act, PickUp};
use super::poller::{Poller, SLOT_LOOK, retries_in_process};
use crate::cancellation::LONGEST_QUESTION;
use crate::refusals::Standing;
use crate::run::ErrorChain;

impl Poller {
    /// Waits until a poll is to be made because of what is announced. Cancel safe.
    pub(super) async fn announced(&self, pick_up: &mut PickUp) {
        let live = self.dispatcher.live_runs();
        let mut changes = live.changes();
        // Something may have ended during the poll.
        changes.mark_changed();
        loop {
            let next = pick_up.next(Instant::now(), Timestamp::now());
            let at = next.map_or_else(Instant::now, |(at, _)| at);
            tokio::select! {
                heard = self.announcements.heard() => {
                    for announcement in heard {
                        pick_up.heard(announcement, live.is_live(announcement.run));
                    }
                }
                Ok(()) = changes.changed(), if pick_up.awaits_an_end() => {
                    let is_parked = |run| self.dispatcher.refusals.standing(run) == Standing::Parked;
                    pick_up.ended(|run| live.is_live(run), is_parked);
                }
                () = sleep_until(at), if next.is_some() => match next {
                    Some((_, Act::Ask)) => self.ask_about(pick_up).await,
                    Some((_, Act::Poll)) | None => return self.until_something_can_be_taken().await,
                },
            }
        }
    }

    /// A poll would show what could not be taken anyway while no slot is free, or the pool is paused.
    async fn until_something_can_be_taken(&self) {
        let mut changes = self.dispatcher.live_runs().changes();
        while !self.dispatcher.has_free_slot() || self.view.pool().is_some_and(|pool| pool.is_paused) {
            drop(timeout(SLOT_LOOK, changes.changed()).await);
        }
    }

    /// Asks when the runs are due that were announced and not shown. One question for all of them.
    async fn ask_about(&self, pick_up: &mut PickUp) {
        let question = FlowRunsFilterRequest {
            flow_runs: Some(FlowRunFilter {
                id: Some(AnyOf { any_: pick_up.unseen() }),
                state: Some(StateFilter { state_type: Some(AnyOf { any_: vec![StateType::Scheduled] }), name: None }),
            }),
            ..FlowRunsFilterRequest::default()
        };
        let scheduled = match timeout(LONGEST_QUESTION, self.client.flow_runs(&question)).await {
            Ok(Ok(runs)) => runs.iter().filter(|run| !retries_in_process(run)).filter_map(due).collect(),
            Ok(Err(error)) => {
                tracing::debug!("cannot ask when announced runs are due: {}", ErrorChain(&error));
                Vec::new()
            }
            Err(_) => Vec::new(),
        };
        pick_up.answered(&scheduled, self.settings.prefetch, Timestamp::now());
    }
}

fn due(run: &FlowRun) -> Option<(RunId, Timestamp)> {
    Some((run.id, run.next_scheduled_start_time?))
}

//! Polling because the event stream says so.

use central_api_wire::flow_run::{
    AnyOf, FlowRun, FlowRunFilter, FlowRunSort, FlowRunsFilterRequest, NotBefore, StateFilter, WorkPoolFilter,
};
use central_api_wire::state::StateType;
use jiff::Timestamp;
use tokio::time::{Instant, sleep_until, timeout};
use worker_core::ids::RunId;

use super::pick_up::{AHEAD, Act, PickUp};
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
                    Some((_, Act::LookAhead)) => self.look_ahead(pick_up).await,
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
                ..FlowRunFilter::default()
            }),
            ..FlowRunsFilterRequest::default()
        };
        let runs = self.scheduled(&question).await.unwrap_or_default();
        let scheduled: Vec<_> = runs.iter().filter(|run| !retries_in_process(run)).filter_map(due).collect();
        pick_up.answered(&scheduled, self.settings.prefetch, Timestamp::now());
    }

    /// Asks when the next runs of the pool are due.
    async fn look_ahead(&self, pick_up: &mut PickUp) {
        let now = Timestamp::now();
        let named = |names: &[String]| Some(WorkPoolFilter { name: Some(AnyOf { any_: names.to_vec() }) });
        let queues = &self.settings.work_queues;
        let question = FlowRunsFilterRequest {
            flow_runs: Some(FlowRunFilter {
                state: Some(StateFilter { state_type: Some(AnyOf { any_: vec![StateType::Scheduled] }), name: None }),
                next_scheduled_start_time: Some(NotBefore { after_: now }),
                ..FlowRunFilter::default()
            }),
            work_pools: named(std::slice::from_ref(&self.settings.pool)),
            work_pool_queues: (!queues.is_empty()).then(|| named(queues)).flatten(),
            sort: Some(FlowRunSort::NextScheduledStartTimeAsc),
            limit: Some(AHEAD),
            ..FlowRunsFilterRequest::default()
        };
        let runs = self.scheduled(&question).await;
        let due: Option<Vec<Timestamp>> =
            runs.map(|runs| runs.iter().filter_map(|run| run.next_scheduled_start_time).collect());
        pick_up.looked_ahead(due.as_deref(), self.settings.prefetch, now, Instant::now());
    }

    async fn scheduled(&self, question: &FlowRunsFilterRequest) -> Option<Vec<FlowRun>> {
        match timeout(LONGEST_QUESTION, self.client.flow_runs(question)).await {
            Ok(Ok(runs)) => Some(runs),
            Ok(Err(error)) => {
                tracing::debug!("cannot ask when runs are due: {}", ErrorChain(&error));
                None
            }
            Err(_) => None,
        }
    }
}

fn due(run: &FlowRun) -> Option<(RunId, Timestamp)> {
    Some((run.id, run.next_scheduled_start_time?))
}

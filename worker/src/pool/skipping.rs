//! Ending late runs that are not to be executed.

use std::time::Duration;

use central_api_client::{CallKind, Verdict};
use central_api_wire::flow_run::FlowRun;
use central_api_wire::state::{SetStateRequest, StateDetails, StateProposal, StateType};
use central_api_wire::work_pool::WorkPool;
use futures::StreamExt as _;
use futures::stream;
use jiff::Timestamp;
use uuid::Uuid;
use worker_core::ids::TransitionId;

use super::late::{LatePolicy, may_be_skipped, skips};
use super::poller::Poller;
use crate::run::ErrorChain;

/// So many runs are ended at the same time: a page of them must not keep the poller for long.
const AT_ONCE: usize = 8;
/// What is not ended by then is shown by the next poll again.
const LONGEST: Duration = Duration::from_secs(20);

impl Poller {
    /// The runs without those that are late and not to be executed, which are ended; and how many were. One that could not be
    /// ended is not executed either: the next poll shows it again.
    pub(super) async fn without_skipped(&self, runs: Vec<FlowRun>, pool: &WorkPool) -> (Vec<FlowRun>, usize) {
        if self.settings.late == LatePolicy::All {
            return (runs, 0);
        }
        let shown: Vec<&FlowRun> = runs.iter().collect();
        let mut why = skips(&shown, self.settings.late, Timestamp::now()).into_iter();
        let (mut stay, mut skipped) = (Vec::new(), Vec::new());
        for run in runs {
            match why.next().flatten() {
                // It is executed here already, and the poll is old news.
                Some(_) if self.dispatcher.live.is_live(run.id) => stay.push(run),
                Some(why) => skipped.push((run, why)),
                None => stay.push(run),
            }
        }
        if skipped.is_empty() {
            return (stay, 0);
        }
        let ending = stream::iter(skipped)
            .map(|(run, why)| async move { self.skip(&run, &why, pool).await })
            .buffer_unordered(AT_ONCE)
            .fold(0_usize, |ended, was_ended| std::future::ready(ended + usize::from(was_ended)));
        let ended = self.pulse.during(LONGEST, tokio::time::timeout(LONGEST, ending)).await.unwrap_or(0);
        if ended > 0 {
            tracing::info!("{ended} late runs of work pool '{}' were skipped", self.settings.pool);
        }
        (stay, ended)
    }

    /// Ends one run, if it still waits for its time and nothing else. Whether that was done.
    async fn skip(&self, shown: &FlowRun, why: &str, pool: &WorkPool) -> bool {
        let id = shown.id;
        // Another worker may have it by now, and ending what executes is not ours to do.
        match self.client.flow_run(id).await {
            Ok(run) if run.state_type == Some(StateType::Scheduled) && may_be_skipped(&run) => {}
            Ok(_) => return false,
            Err(error) => {
                tracing::debug!(run = %id, "a late run could not be read: {}", ErrorChain(&error));
                return false;
            }
        }
        let timelines = &self.dispatcher.around.timelines;
        timelines.begin(id, &shown.name, &pool.name);
        let state_details = StateDetails {
            flow_run_id: Some(id),
            transition_id: Some(TransitionId(Uuid::new_v4())),
            ..StateDetails::default()
        };
        let state = StateProposal {
            state_type: StateType::Cancelled,
            name: Some(StateType::Cancelled.default_name().to_owned()),
            message: Some(why.to_owned()),
            data: None,
            state_details,
        };
        match self.client.set_state(id, &SetStateRequest { state, force: false }, CallKind::Claim).await {
            Ok(Verdict::Accept(_)) => {
                tracing::debug!(run = %id, name = shown.name, "{why}");
                timelines.note(id, why);
                true
            }
            Ok(verdict) => {
                timelines.note(id, format!("was to be skipped, and the server said {verdict:?}"));
                false
            }
            Err(error) => {
                tracing::debug!(run = %id, "a late run could not be skipped: {}", ErrorChain(&error));
                false
            }
        }
    }
}

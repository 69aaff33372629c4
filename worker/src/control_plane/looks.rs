//! Looking at runs together.

use std::sync::{Mutex, PoisonError};

use central_api_client::{ApiError, Client};
use central_api_wire::flow_run::{AnyOf, FlowRun, FlowRunFilter, FlowRunsFilterRequest};
use central_api_wire::state::StateType;
use tokio::sync::oneshot;
use tokio::time::Instant;
use worker_core::ids::RunId;

/// Runs that are looked at with one question. Their claims follow at once, and have to be answered while the look is fresh.
const TOGETHER: usize = 16;

/// How a run was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Its state.
    pub state_type: Option<StateType>,
    /// When it was asked for: what the answer says is as old as the question.
    pub asked: Instant,
}

/// Gathers who wants to look while a question is under way.
#[derive(Debug, Default)]
pub(super) struct Looks {
    waiting: Mutex<Vec<(RunId, oneshot::Sender<Option<Look>>)>>,
    asking: tokio::sync::Mutex<()>,
}

impl Looks {
    /// How a run is now; none if the API does not say.
    ///
    /// # Cancel safety
    /// May be dropped: those who waited for the same question get no answer.
    pub(super) async fn look(&self, client: &Client, run: RunId) -> Option<Look> {
        let (sender, mut answer) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push((run, sender));
        loop {
            tokio::select! {
                biased;
                seen = &mut answer => return seen.ok().flatten(),
                _turn = self.asking.lock() => self.ask(client).await,
            }
        }
    }

    /// Asks for those who wait, the first of them first.
    async fn ask(&self, client: &Client) {
        let together: Vec<_> = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let most = waiting.len().min(TOGETHER);
            waiting.drain(..most).collect()
        };
        if together.is_empty() {
            return;
        }
        let asked = Instant::now();
        let seen = runs(client, together.iter().map(|(run, _)| *run).collect()).await.unwrap_or_default();
        for (run, sender) in together {
            let look = seen.iter().find(|seen| seen.id == run);
            let look = look.map(|seen| Look { state_type: seen.state_type.clone(), asked });
            // Whoever does not wait any more does not need it.
            drop(sender.send(look));
        }
    }
}

async fn runs(client: &Client, ids: Vec<RunId>) -> Result<Vec<FlowRun>, ApiError> {
    let flow_runs = Some(FlowRunFilter { id: Some(AnyOf { any_: ids }), ..FlowRunFilter::default() });
    client.flow_runs(&FlowRunsFilterRequest { flow_runs, ..FlowRunsFilterRequest::default() }).await
}

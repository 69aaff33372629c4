//! The crash of a run that somebody else started.

use std::time::Duration;

use central_api_client::{CallKind, Verdict};
use central_api_wire::log::LogLine;
use central_api_wire::state::StateType;
use infra_contract::OutputLine;
use tokio::time::{Instant, sleep};
use worker_core::ids::RunId;

use super::Elsewhere;
use crate::run::asking::until_answered;
use crate::run::error_chain::ErrorChain;
use crate::run::log::OUTPUT_LOGGER;
use crate::run::proposal;

/// A run that has not started may get other infrastructure within this time.
const REPLACED_WITHIN: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_secs(5);
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// What the state of a run says about the end of its infrastructure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It is over, waits for another execution, or is being cancelled.
    Settled,
    /// It has not started, so others may be about to execute it.
    NotStarted,
    /// It ran.
    Started,
}

const fn standing(state: Option<&StateType>) -> Standing {
    match state {
        Some(StateType::Pending) => Standing::NotStarted,
        Some(StateType::Running | StateType::Other(_)) | None => Standing::Started,
        Some(
            StateType::Completed
            | StateType::Failed
            | StateType::Crashed
            | StateType::Cancelled
            | StateType::Cancelling
            | StateType::Scheduled
            | StateType::Paused,
        ) => Standing::Settled,
    }
}

impl Elsewhere {
    /// Proposes Crashed, unless the run is settled or has other infrastructure.
    pub(super) async fn crash(&self, run: RunId, infrastructure: &str, message: String, patience: Duration) {
        let Some(output) = self.is_crashed(run, infrastructure, patience).await else { return };
        let request = proposal::crashed_elsewhere(run, infrastructure, message);
        let verdict = loop {
            match self.api.propose(run, &request, CallKind::Claim).await {
                Ok(Verdict::Wait { delay, .. }) => sleep(delay).await,
                Ok(verdict) => break verdict,
                Err(error) if error.is_not_found() => return,
                Err(error) => {
                    tracing::debug!(%run, "its crash is not reported yet: {}", ErrorChain(&error));
                    sleep(TRY_AGAIN).await;
                    if matches!(self.standing(run).await, None | Some(Standing::Settled)) {
                        return;
                    }
                }
            }
        };
        if let Verdict::Accept(_) = verdict {
            tracing::info!(%run, infrastructure, "a run of another worker has crashed");
            for line in output {
                self.api.log(last_line(run, line));
            }
        }
    }

    /// What it wrote last, if it has crashed; `None` if the end of this infrastructure is none of the run.
    async fn is_crashed(&self, run: RunId, infrastructure: &str, patience: Duration) -> Option<Vec<OutputLine>> {
        let mut output = Vec::new();
        let place = self.at_once.acquire().await.ok()?;
        let found = until_answered(|| self.api.flow_run(run)).await?;
        let first = standing(found.state_type.as_ref());
        // An earlier try of the run ended there long ago, and it is executed elsewhere since.
        let is_of_other = found.infrastructure_pid.is_some_and(|now| !now.is_empty() && now != infrastructure);
        if first == Standing::Settled || is_of_other {
            return None;
        }
        if first == Standing::NotStarted {
            // Before the wait: the pod may be removed meanwhile.
            match self.observer.last_output(infrastructure).await {
                Ok(lines) => output = lines,
                Err(error) => tracing::debug!(%run, "the last output cannot be read: {}", ErrorChain(&error)),
            }
        }
        drop(place);
        sleep(patience).await;
        let _place = self.at_once.acquire().await.ok()?;
        // It may have been adopted here since.
        if self.live.is_live(run) {
            return None;
        }
        let deadline = Instant::now() + REPLACED_WITHIN;
        loop {
            let may_be_replaced = match self.standing(run).await? {
                Standing::Settled => return None,
                Standing::NotStarted => Instant::now() < deadline,
                Standing::Started => false,
            };
            match self.has_other(run).await {
                Some(true) => return None,
                Some(false) if !may_be_replaced => return Some(output),
                Some(false) | None => sleep(LOOK_AGAIN).await,
            }
        }
    }

    async fn standing(&self, run: RunId) -> Option<Standing> {
        let found = until_answered(|| self.api.flow_run(run)).await?;
        Some(standing(found.state_type.as_ref()))
    }

    /// `None` if the cluster does not say: nobody else may ever tell of this crash, so it is asked again.
    async fn has_other(&self, run: RunId) -> Option<bool> {
        let has = self.observer.has_other(run).await.inspect_err(|error| {
            tracing::debug!(%run, "whether it has other infrastructure is not known: {}", ErrorChain(error));
        });
        has.ok()
    }
}

fn last_line(run: RunId, line: OutputLine) -> LogLine {
    let name = OUTPUT_LOGGER.to_owned();
    LogLine { name, level: 40, message: line.text, timestamp: line.written, flow_run_id: Some(run), worker_id: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c114_only_runs_that_may_still_end_are_crashed() {
        for (state, expected) in [
            (StateType::Pending, Standing::NotStarted),
            (StateType::Running, Standing::Started),
            (StateType::Scheduled, Standing::Settled),
            (StateType::Paused, Standing::Settled),
            (StateType::Cancelling, Standing::Settled),
            (StateType::Completed, Standing::Settled),
            (StateType::Failed, Standing::Settled),
            (StateType::Crashed, Standing::Settled),
            (StateType::Cancelled, Standing::Settled),
        ] {
            assert_eq!(standing(Some(&state)), expected, "{state}");
        }
    }
}

//! Asking the API which of the live runs are to be cancelled.

use std::collections::HashSet;
use std::time::Duration;

use central_api_client::ApiError;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use worker_core::ids::RunId;
use worker_core::machine::{Input, StopReason};

use super::filter::cancelling_runs;
use super::observer::{LONGEST_QUESTION, Observer};
use super::sight::Sight;
use crate::pool::pace;
use crate::run::ErrorChain;

/// Mean time between questions beside a stream, which may leave events out.
const BESIDE_A_STREAM: Duration = Duration::from_mins(1);
/// What is to be asked soon is asked together with what follows it closely.
const SOON: Duration = Duration::from_secs(1);

/// What whoever follows the stream tells whoever asks.
#[derive(Debug, Default)]
pub(super) struct Prompts {
    /// Since when there is a stream.
    stream: watch::Sender<Option<Instant>>,
    soon: Notify,
}

impl Prompts {
    /// There is a stream. What happened before it is asked for at once.
    pub(super) fn stream_opened(&self, at: Instant) {
        self.stream.send_replace(Some(at));
    }

    /// There is no stream any more. What it did not bring is asked for at once.
    pub(super) fn stream_ended(&self) {
        self.stream.send_replace(None);
    }

    /// Something was heard and not seen.
    pub(super) fn ask_soon(&self) {
        self.soon.notify_one();
    }
}

impl Observer {
    /// Asks for ever: in turn, whenever a stream began or ended, and when prompted.
    pub(super) async fn keep_asking(&self, prompts: &Prompts) {
        let mut stream = prompts.stream.subscribe();
        let mut sight = Sight::default();
        loop {
            // Marked as seen before asking: a stream that opens during the question is a reason for another one.
            let since = *stream.borrow_and_update();
            let answered = self.asking.during(LONGEST_QUESTION, self.ask()).await;
            let now = Instant::now();
            sight.asked(answered, since.map(|since| now - since), now);
            if sight.is_blind(self.poll_interval, now) && self.crash_when_blind {
                self.end_unobserved_runs(&mut sight);
            }
            let pause = pace::jittered(pause(self.poll_interval, since.is_some(), answered));
            let next = async {
                tokio::select! {
                    () = sleep(pause) => {}
                    _ = stream.changed() => {}
                    () = prompts.soon.notified() => sleep(pace::jittered(SOON)).await,
                }
            };
            self.asking.idle(next).await;
        }
    }

    /// Asks, if there is anything to ask for. False if no answer came: an API that answers slowly, page by page, is seen.
    async fn ask(&self) -> bool {
        let mut is_answered = false;
        match timeout(LONGEST_QUESTION, self.ask_for_all(&mut is_answered)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::debug!("cannot ask for cancellations: {}", ErrorChain(&error));
                is_answered
            }
            Err(_) => {
                tracing::debug!("cannot ask for cancellations: no answer within {LONGEST_QUESTION:?}");
                is_answered
            }
        }
    }

    /// An answer is a page at most, of a length that the server chooses, and those of the first stay on it until they have ended: whoever
    /// cancels hundreds of runs would wait for the rest until the next question. So it is asked for the others until there is none.
    async fn ask_for_all(&self, is_answered: &mut bool) -> Result<(), ApiError> {
        let mut live = self.live.ids(self.pool);
        while !live.is_empty() {
            let runs = self.client.flow_runs(&cancelling_runs(live.clone())).await?;
            *is_answered = true;
            for run in &runs {
                self.react(run);
            }
            let answered: HashSet<RunId> = runs.iter().map(|run| run.id).collect();
            let before = live.len();
            live.retain(|run| !answered.contains(run));
            if live.len() == before {
                break;
            }
        }
        Ok(())
    }

    fn end_unobserved_runs(&self, sight: &mut Sight) {
        for run in self.live.ids(self.pool) {
            if sight.ends(run) {
                tracing::error!(%run, "cannot tell whether it was cancelled; it is ended, as the settings ask");
            }
            self.live.tell(self.pool, run, Input::Stop(StopReason::Unobserved));
        }
    }
}

/// The mean time to the next question. One that was not answered is asked again without waiting longer for there being a
/// stream.
fn pause(poll_interval: Duration, has_stream: bool, answered: bool) -> Duration {
    match (has_stream, answered) {
        (true, true) => BESIDE_A_STREAM,
        (true, false) => poll_interval.min(BESIDE_A_STREAM),
        (false, _) => poll_interval,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_a_stream_questions_come_every_minute_whatever_the_interval() {
        for interval in [Duration::from_secs(1), Duration::from_mins(10)] {
            assert_eq!(pause(interval, true, true), Duration::from_mins(1));
        }
        assert_eq!(pause(Duration::from_secs(10), false, true), Duration::from_secs(10));
    }

    #[test]
    fn an_unanswered_question_is_repeated_at_the_shorter_interval() {
        assert_eq!(pause(Duration::from_secs(10), true, false), Duration::from_secs(10));
        assert_eq!(pause(Duration::from_mins(10), true, false), Duration::from_mins(1));
    }
}

//! Talking to the server about a message, and keeping it lent meanwhile.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use central_api_wire::channel::{CleanupMessage, Frame};
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::judgement::Conclusion;
use super::wording::{OperationResult, Saying};
use crate::metrics::Metrics;

/// Frames that wait for the connection, which sends each at once.
const OUTGOING: usize = 16;
/// How often a thing is said that gets no answer.
const TRIES: u32 = 3;
const LONGEST_ANSWER: Duration = Duration::from_secs(30);
const BETWEEN_TRIES: Duration = Duration::from_secs(1);
/// A message is kept before the server lends it to somebody else.
const AHEAD: Duration = Duration::from_secs(5);

/// The handlers' end of the connection.
#[derive(Clone)]
pub(super) struct Line {
    outgoing: mpsc::Sender<Frame>,
    waiting: Arc<Mutex<HashMap<Uuid, oneshot::Sender<OperationResult>>>>,
    metrics: Metrics,
}

impl Line {
    pub(super) fn new(metrics: Metrics) -> (Self, mpsc::Receiver<Frame>) {
        let (outgoing, frames) = mpsc::channel(OUTGOING);
        (Self { outgoing, waiting: Arc::default(), metrics }, frames)
    }

    /// Keeps a message while the work on it goes on, and gives it back when that is done. When it cannot be kept, the work is
    /// dropped and nothing is said: somebody else has it.
    pub(super) async fn handle(&self, message: &CleanupMessage, work: impl Future<Output = Conclusion>) {
        tokio::select! {
            conclusion = work => self.conclude(message, conclusion).await,
            () = self.keep(message) => {
                tracing::debug!(message = %message.message_id, "a clean-up is not ours any more");
            }
        }
    }

    /// Gives a message back.
    pub(super) async fn conclude(&self, message: &CleanupMessage, conclusion: Conclusion) {
        self.metrics.cleanup_concluded(conclusion == Conclusion::Ack);
        let (kind, reason) = match conclusion {
            Conclusion::Ack => ("cleanup.ack.v1", None),
            Conclusion::Release(reason) => ("cleanup.release.v1", Some(reason.as_str())),
        };
        let status = self.say(kind, message, reason).await.map(|result| result.status);
        tracing::debug!(message = %message.message_id, kind, reason, ?status, "a clean-up is over");
    }

    /// Renews the loan again and again; returns when it is lost.
    async fn keep(&self, message: &CleanupMessage) {
        let mut expires = message.lease_expires_at;
        loop {
            sleep(until_renewal(expires, Timestamp::now())).await;
            match self.say("cleanup.renew.v1", message, None).await {
                Some(OperationResult { status, lease_expires_at: Some(later), .. }) if status == "accepted" => {
                    expires = later;
                }
                Some(_) | None => return,
            }
        }
    }

    /// Says something about a message until it is answered.
    async fn say(&self, kind: &str, message: &CleanupMessage, reason: Option<&'static str>) -> Option<OperationResult> {
        let (message_id, reservation_token) = (message.message_id, message.reservation_token.as_str());
        let payload = serde_json::to_value(Saying { message_id, reservation_token, reason }).ok()?;
        for again in 0..TRIES {
            if again > 0 {
                sleep(BETWEEN_TRIES).await;
            }
            let id = Uuid::now_v7();
            let frame = Frame { kind: kind.to_owned(), id, sent_at: Timestamp::now(), payload: payload.clone() };
            let (sender, answer) = oneshot::channel();
            self.waiting().insert(id, sender);
            self.outgoing.send(frame).await.ok()?;
            let answer = timeout(LONGEST_ANSWER, answer).await;
            self.waiting().remove(&id);
            if let Ok(Ok(result)) = answer
                && result.status != "error"
            {
                return Some(result);
            }
        }
        None
    }

    pub(super) fn answered(&self, result: OperationResult) {
        let waits = self.waiting().remove(&result.request_frame_id);
        if waits.is_none_or(|waits| waits.send(result).is_err()) {
            tracing::debug!("an answer about a clean-up came too late");
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Uuid, oneshot::Sender<OperationResult>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time to the next renewal. A loan that is shorter than we like is renewed at half its time.
fn until_renewal(expires: Timestamp, now: Timestamp) -> Duration {
    let left = Duration::try_from(expires.duration_since(now)).unwrap_or_default();
    left.saturating_sub(AHEAD).max(left / 2).min(left)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use jiff::SignedDuration;
    use serde_json::json;
    use tokio::time::Instant;

    use super::super::judgement::Reason;
    use super::*;

    fn message(lease: i64) -> CleanupMessage {
        serde_json::from_value(json!({
            "message_id": Uuid::nil(), "reservation_token": "t", "kind": "k",
            "lease_expires_at": Timestamp::now() + SignedDuration::from_secs(lease),
        }))
        .unwrap()
    }

    fn answer(line: &Line, frame: &Frame, status: &str) {
        let result = json!({
            "request_frame_id": frame.id, "status": status,
            "lease_expires_at": Timestamp::now() + SignedDuration::from_secs(30),
        });
        line.answered(serde_json::from_value(result).unwrap());
    }

    #[test]
    fn a_loan_is_renewed_five_seconds_before_its_end_or_at_half_of_a_short_one() {
        let now = Timestamp::UNIX_EPOCH;
        let renewed = |seconds| until_renewal(now + SignedDuration::from_secs(seconds), now);
        assert_eq!(renewed(30), Duration::from_secs(25));
        assert_eq!(renewed(4), Duration::from_secs(2));
        assert_eq!(renewed(-1), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn c033_a_loan_is_renewed_while_the_work_goes_on_and_a_lost_one_ends_it_without_a_word() {
        let (line, mut frames) = Line::new(Metrics::default());
        let begun = Instant::now();
        let message = message(30);
        let server = async {
            let renewal = frames.recv().await.unwrap();
            assert_eq!(renewal.kind, "cleanup.renew.v1");
            assert!(begun.elapsed() >= Duration::from_secs(24), "{:?}", begun.elapsed());
            assert!(begun.elapsed() <= Duration::from_secs(26), "{:?}", begun.elapsed());
            answer(&line, &renewal, "accepted");
            let renewal = frames.recv().await.unwrap();
            answer(&line, &renewal, "invalid_token");
        };
        tokio::join!(line.handle(&message, pending()), server);
        assert!(frames.try_recv().is_err(), "something was said about a message that is not ours");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_answered_is_said_three_times() {
        let (line, mut frames) = Line::new(Metrics::default());
        let message = message(30);
        let release = Conclusion::Release(Reason::HandlerFailed);
        let server = async {
            for silent in [true, false] {
                let frame = frames.recv().await.unwrap();
                assert_eq!(frame.payload["reason"], "handler_failed");
                if !silent {
                    answer(&line, &frame, "error");
                }
            }
            frames.recv().await.unwrap()
        };
        let begun = Instant::now();
        let ((), last) = tokio::join!(line.conclude(&message, release), server);
        assert_eq!(last.kind, "cleanup.release.v1");
        assert!(begun.elapsed() >= LONGEST_ANSWER * 2, "each try waits for its answer");
        assert!(frames.try_recv().is_err());
    }
}

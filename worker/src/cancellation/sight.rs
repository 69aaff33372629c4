//! Whether cancellations can be noticed at all.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;
use worker_core::ids::RunId;

/// Something between us and the server may accept a stream only to cut it: one that lasted so long is a stream.
pub(super) const STEADY_AFTER: Duration = Duration::from_secs(30);
/// Questions in a row without an answer after which nobody can tell any more whether runs are cancelled.
const BLIND_AFTER: u32 = 12;

/// What of the API was seen of late.
#[derive(Debug, Default)]
pub(super) struct Sight {
    unanswered: u32,
    /// When the first of them was given up.
    since: Option<Instant>,
    ended: HashSet<RunId>,
}

impl Sight {
    /// A question ended, while there was a stream of this age.
    pub(super) fn asked(&mut self, answered: bool, stream: Option<Duration>, now: Instant) {
        if answered || stream.is_some_and(|age| age >= STEADY_AFTER) {
            *self = Self::default();
        } else {
            self.unanswered = self.unanswered.saturating_add(1);
            self.since.get_or_insert(now);
        }
    }

    /// Whether for a long time there was neither stream nor answer: enough questions, and the time that so many take at
    /// this interval, because those that are asked out of turn may come in quick succession.
    pub(super) fn is_blind(&self, interval: Duration, now: Instant) -> bool {
        self.unanswered >= BLIND_AFTER && self.since.is_some_and(|since| now - since >= interval * (BLIND_AFTER - 1))
    }

    /// Whether this is the first time that a run is ended for our blindness.
    pub(super) fn ends(&mut self, run: RunId) -> bool {
        self.ended.insert(run)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    /// After so many questions without an answer, this far apart.
    fn is_blind(questions: u32, apart: Duration, stream: Option<Duration>) -> bool {
        let mut now = Instant::now();
        let mut sight = Sight::default();
        for _ in 0..questions {
            now += apart;
            sight.asked(false, stream, now);
        }
        sight.is_blind(INTERVAL, now)
    }

    #[test]
    fn unanswered_questions_without_a_steady_stream_make_blind() {
        assert!(!is_blind(BLIND_AFTER - 1, 2 * INTERVAL, None));
        assert!(is_blind(BLIND_AFTER, INTERVAL, None));
        assert!(is_blind(BLIND_AFTER, INTERVAL, Some(Duration::from_secs(1))), "it may be cut again at once");
        assert!(!is_blind(BLIND_AFTER, INTERVAL, Some(STEADY_AFTER)));
    }

    #[test]
    fn questions_in_quick_succession_do_not_make_blind() {
        assert!(!is_blind(2 * BLIND_AFTER, INTERVAL / 4, None));
    }

    #[test]
    fn an_answer_gives_sight() {
        let (mut sight, begin) = (Sight::default(), Instant::now());
        for n in 0..BLIND_AFTER {
            sight.asked(false, None, begin + INTERVAL * n);
        }
        let now = begin + INTERVAL * BLIND_AFTER;
        assert!(sight.is_blind(INTERVAL, now));
        sight.asked(true, None, now);
        assert!(!sight.is_blind(INTERVAL, now));
    }

    #[test]
    fn the_end_of_a_run_is_news_once() {
        let mut sight = Sight::default();
        let run = RunId(Uuid::from_u128(1));
        assert!(sight.ends(run));
        assert!(!sight.ends(run));
    }
}

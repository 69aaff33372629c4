//! Which polls the event stream brings about, and when. Pure; the poller carries it out.
//!
//! An event is a hint. It says that a run became Scheduled, and neither when it is due nor whether the server would offer it. So
//! it brings about a poll; a run that the poll does not show is asked about once, and if it is due later a poll is planned for
//! the moment from which polls show it.
//!
//! Of runs that a schedule makes no event tells. Where polls are further apart than runs are fetched ahead, the API is asked for
//! the next of them, and polls are planned: once at the start, and after that only where there are any.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::mem::take;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use worker_core::ids::{DeploymentId, RunId};

use super::announcements::Announcement;

/// Between two polls, if an event brings about the second: a thousand events in a second are a few polls.
const GAP: Duration = Duration::from_millis(250);
/// The gap grows up to this while events lead to nothing: the server may have reasons of its own not to offer the runs.
const LONGEST_GAP: Duration = Duration::from_secs(2);
/// Polls that events bring about take a fifth of the time at most. A server that answers slowly has enough to do.
const REST: u32 = 4;
/// A server publishes an event a little before the change that it tells of can be seen, so a run that a poll did not show is
/// asked about after this.
const UNTIL_COMMITTED: Duration = Duration::from_millis(150);
/// An interval may be so much longer by chance.
const LONGEST_JITTER: f64 = 1.3;
/// Runs of schedules that are asked for at a time.
pub(super) const AHEAD: u32 = 20;
/// Between two questions for them, at least.
const LOOK_AHEAD_GAP: Duration = Duration::from_mins(1);
/// The server makes them an hour ahead, unless a schedule is new.
const LOOK_AHEAD_AGAIN: Duration = Duration::from_mins(10);
/// Deployments that are read while a poll is under way. With more runs than that the time between two requests does not matter.
const MOST_AHEAD: usize = 4;
/// Runs that are remembered, and polls that are planned. Whatever is forgotten is left to the interval.
const MOST: usize = 200;

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Poll.
    Poll,
    /// Ask about the runs that the last poll did not show.
    Ask,
    /// Ask for the next runs of schedules.
    LookAhead,
}

/// How far a run got that was announced and not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No poll was made since.
    Announced,
    /// A poll did not show it.
    Unseen,
    /// It is due, the API said when it was asked about it.
    Due,
}

/// What was announced and what came of it.
#[derive(Debug)]
pub(super) struct PickUp {
    /// A poll is wanted.
    wanted: bool,
    announced: HashMap<RunId, Stage>,
    /// Runs that came back while they are still executed here.
    occupied: HashSet<RunId>,
    /// Deployments of which runs were announced since the last poll began.
    deployments: HashSet<DeploymentId>,
    /// From when polls show runs that are due later.
    planned: BTreeSet<Timestamp>,
    /// When the last poll ended.
    polled: Option<Instant>,
    gap: Duration,
    /// When to ask for the next runs of schedules.
    look_ahead: LookAhead,
}

#[derive(Clone, Copy, Debug)]
enum LookAhead {
    /// Polls show runs before they are due.
    Needless,
    /// There are none.
    NothingThere {
        asked: Instant,
    },
    At(Instant),
}

impl PickUp {
    /// Of a pool that is polled at an interval for what is due within the prefetch window.
    pub(super) fn new(interval: Duration, prefetch: Duration) -> Self {
        let is_needless = interval.mul_f64(LONGEST_JITTER) <= prefetch;
        Self {
            look_ahead: if is_needless { LookAhead::Needless } else { LookAhead::At(Instant::now()) },
            wanted: false,
            announced: HashMap::new(),
            occupied: HashSet::new(),
            deployments: HashSet::new(),
            planned: BTreeSet::new(),
            polled: None,
            gap: GAP,
        }
    }
}

impl PickUp {
    /// A run became Scheduled. `is_live`: it is executed here.
    pub(super) fn heard(&mut self, announcement: Announcement, is_live: bool) {
        let Announcement { run, deployment, is_news, comes_back } = announcement;
        if is_live {
            // That it was Scheduled once is how it came here. What comes back is taken again when it has ended here.
            if comes_back && self.occupied.len() < MOST {
                self.occupied.insert(run);
            }
            return;
        }
        self.wanted = true;
        if is_news && self.announced.len() < MOST {
            self.announced.insert(run, Stage::Announced);
            self.deployments.extend(deployment.filter(|_| self.deployments.len() < MOST_AHEAD));
        }
    }

    /// Whether it matters when runs end.
    pub(super) fn awaits_an_end(&self) -> bool {
        !self.occupied.is_empty()
    }

    /// Runs have ended. Those that the server refused us are asked for again in their time, not now.
    pub(super) fn ended(&mut self, is_live: impl Fn(RunId) -> bool, is_parked: impl Fn(RunId) -> bool) {
        let ended: Vec<RunId> = self.occupied.extract_if(|run| !is_live(*run)).collect();
        for run in ended.into_iter().filter(|run| !is_parked(*run)) {
            self.heard(Announcement { run, deployment: None, is_news: true, comes_back: true }, false);
        }
    }

    /// A poll was made: which runs it showed, or are executed here; whether any was taken; and what it took.
    pub(super) fn polled(&mut self, is_known: impl Fn(RunId) -> bool, taken: bool, took: Duration, now: Instant) {
        self.announced.retain(|run, stage| !is_known(*run) && *stage != Stage::Due);
        for stage in self.announced.values_mut() {
            *stage = Stage::Unseen;
        }
        if taken {
            self.gap = GAP;
        } else if self.wanted {
            self.gap = (self.gap * 2).min(LONGEST_GAP);
        }
        self.gap = self.gap.max(took.saturating_mul(REST));
        self.wanted = false;
        self.polled = Some(now);
    }

    /// The runs to ask about.
    pub(super) fn unseen(&self) -> Vec<RunId> {
        self.announced.iter().filter(|(_, stage)| **stage == Stage::Unseen).map(|(run, _)| *run).collect()
    }

    /// What the API says about them: those that are Scheduled, with their times.
    pub(super) fn answered(&mut self, scheduled: &[(RunId, Timestamp)], prefetch: Duration, now: Timestamp) {
        self.announced.retain(|_, stage| *stage != Stage::Unseen);
        let prefetch = SignedDuration::try_from(prefetch).unwrap_or(SignedDuration::MAX);
        for (run, due) in scheduled {
            let shown_from = due.checked_sub(prefetch).unwrap_or(Timestamp::MIN);
            if shown_from <= now {
                // It was not committed when the poll was made, or the server has a reason not to offer it.
                self.announced.insert(*run, Stage::Due);
                self.wanted = true;
            } else if self.planned.len() < MOST {
                self.planned.insert(shown_from);
            }
        }
    }

    /// A poll showed a run that a schedule made: there may be more.
    pub(super) fn saw_a_schedule(&mut self) {
        if let LookAhead::NothingThere { asked } = self.look_ahead {
            self.look_ahead = LookAhead::At(asked + LOOK_AHEAD_GAP);
        }
    }

    /// The next runs that are due, the first first; none if the API did not say.
    pub(super) fn looked_ahead(
        &mut self,
        due: Option<&[Timestamp]>,
        prefetch: Duration,
        clock: Timestamp,
        now: Instant,
    ) {
        let Some(due) = due else {
            self.look_ahead = LookAhead::At(now + LOOK_AHEAD_GAP);
            return;
        };
        let prefetch = SignedDuration::try_from(prefetch).unwrap_or(SignedDuration::MAX);
        let room = MOST.saturating_sub(self.planned.len());
        let shown_from = |due: &Timestamp| due.checked_sub(prefetch).unwrap_or(Timestamp::MIN);
        self.planned.extend(due.iter().map(shown_from).filter(|at| *at > clock).take(room));
        let is_all = u32::try_from(due.len()).is_ok_and(|count| count < AHEAD);
        self.look_ahead = match due.last() {
            None => LookAhead::NothingThere { asked: now },
            Some(last) if !is_all => {
                let ahead = Duration::try_from(shown_from(last).duration_since(clock)).unwrap_or_default();
                LookAhead::At(now + ahead.clamp(LOOK_AHEAD_GAP, LOOK_AHEAD_AGAIN))
            }
            Some(_) => LookAhead::At(now + LOOK_AHEAD_AGAIN),
        };
    }

    /// What is to be done next, and when.
    pub(super) fn next(&self, now: Instant, clock: Timestamp) -> Option<(Instant, Act)> {
        let earliest = self.polled.map_or(now, |polled| polled + self.gap);
        let wanted = self.wanted.then_some(earliest);
        let planned = self.planned.first().map(|at| {
            let ahead = Duration::try_from(at.duration_since(clock)).unwrap_or_default();
            (now + ahead).max(earliest)
        });
        let poll = [wanted, planned].into_iter().flatten().min().map(|at| (at, Act::Poll));
        let unseen = self.announced.values().any(|stage| *stage == Stage::Unseen);
        let ask = self.polled.filter(|_| unseen).map(|polled| (polled + UNTIL_COMMITTED, Act::Ask));
        let look_ahead = match self.look_ahead {
            LookAhead::At(at) if self.polled.is_some() => Some((at, Act::LookAhead)),
            LookAhead::At(_) | LookAhead::NothingThere { .. } | LookAhead::Needless => None,
        };
        [poll, ask, look_ahead].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// A poll begins: it shows what was planned until now. The deployments of which it will show runs.
    pub(super) fn polls(&mut self, clock: Timestamp) -> HashSet<DeploymentId> {
        self.planned.retain(|at| *at > clock);
        take(&mut self.deployments)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const PREFETCH: Duration = Duration::from_secs(10);

    fn new() -> PickUp {
        PickUp::new(Duration::from_secs(1), PREFETCH)
    }

    fn run(n: u128) -> RunId {
        RunId(Uuid::from_u128(n))
    }

    fn created(n: u128) -> Announcement {
        Announcement { run: run(n), deployment: None, is_news: true, comes_back: false }
    }

    fn clock() -> Timestamp {
        "2026-11-21T01:00:00Z".parse().unwrap()
    }

    fn act(pick_up: &PickUp, now: Instant) -> Option<(Duration, Act)> {
        pick_up.next(now, clock()).map(|(at, act)| (at.saturating_duration_since(now), act))
    }

    /// A poll that showed nothing of what was announced.
    fn polled_in_vain(pick_up: &mut PickUp, now: Instant) {
        pick_up.polled(|_| false, false, Duration::ZERO, now);
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_events_are_one_poll_at_once_and_the_next_after_a_gap() {
        let (mut pick_up, now) = (new(), Instant::now());
        assert_eq!(act(&pick_up, now), None);
        (0..1000).for_each(|n| pick_up.heard(created(n), false));
        assert_eq!(act(&pick_up, now), Some((Duration::ZERO, Act::Poll)));
        pick_up.polled(|_| true, true, Duration::ZERO, now);
        assert_eq!(act(&pick_up, now), None);
        pick_up.heard(created(7000), false);
        assert_eq!(act(&pick_up, now), Some((GAP, Act::Poll)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_answers_slowly_or_offers_nothing_is_polled_less_often() {
        let (mut pick_up, now) = (new(), Instant::now());
        pick_up.heard(created(1), false);
        pick_up.polled(|_| true, true, Duration::from_secs(1), now);
        pick_up.heard(created(2), false);
        assert_eq!(act(&pick_up, now), Some((Duration::from_secs(4), Act::Poll)));

        let mut pick_up = new();
        for expected in [500, 1000, 2000, 2000] {
            pick_up.heard(created(1), false);
            pick_up.polled(|_| true, false, Duration::ZERO, now);
            pick_up.heard(created(1), false);
            assert_eq!(act(&pick_up, now), Some((Duration::from_millis(expected), Act::Poll)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_the_poll_did_not_show_is_asked_about_and_its_time_is_remembered() {
        let (mut pick_up, now) = (new(), Instant::now());
        pick_up.heard(created(1), false);
        polled_in_vain(&mut pick_up, now);
        assert_eq!(act(&pick_up, now), Some((UNTIL_COMMITTED, Act::Ask)));
        assert_eq!(pick_up.unseen(), [run(1)]);
        pick_up.answered(&[(run(1), clock() + SignedDuration::from_secs(70))], PREFETCH, clock());
        assert_eq!(act(&pick_up, now), Some((Duration::from_mins(1), Act::Poll)));
        pick_up.polls(clock() + SignedDuration::from_mins(1));
        assert_eq!(act(&pick_up, now), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_was_not_committed_yet_is_polled_for_once_more_and_only_once() {
        let (mut pick_up, now) = (new(), Instant::now());
        pick_up.heard(created(1), false);
        polled_in_vain(&mut pick_up, now);
        pick_up.answered(&[(run(1), clock())], PREFETCH, clock());
        assert!(matches!(act(&pick_up, now), Some((_, Act::Poll))));
        polled_in_vain(&mut pick_up, now);
        assert_eq!(act(&pick_up, now), None, "the server does not offer it");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_gone_or_old_is_not_asked_about_again() {
        let (mut pick_up, now) = (new(), Instant::now());
        pick_up.heard(Announcement { is_news: false, ..created(1) }, false);
        assert_eq!(act(&pick_up, now), Some((Duration::ZERO, Act::Poll)));
        polled_in_vain(&mut pick_up, now);
        assert_eq!(act(&pick_up, now), None);
        pick_up.heard(created(2), false);
        polled_in_vain(&mut pick_up, now);
        pick_up.answered(&[], PREFETCH, clock());
        assert_eq!(act(&pick_up, now), None);
    }

    #[test]
    fn a_poll_is_told_once_which_deployments_it_will_show_runs_of() {
        let of = |n: u128| Announcement { deployment: Some(DeploymentId(Uuid::from_u128(n / 2))), ..created(n) };
        let mut pick_up = new();
        for n in 0..4 {
            pick_up.heard(of(n), false);
        }
        pick_up.heard(of(9), true);
        pick_up.heard(Announcement { is_news: false, ..of(9) }, false);
        assert_eq!(pick_up.polls(clock()), [0, 1].map(|n| DeploymentId(Uuid::from_u128(n))).into());
        assert_eq!(pick_up.polls(clock()), HashSet::new());
        for n in 0..100 {
            pick_up.heard(of(n), false);
        }
        assert_eq!(pick_up.polls(clock()).len(), MOST_AHEAD);
    }

    #[tokio::test(start_paused = true)]
    async fn runs_of_schedules_are_asked_for_once_unless_there_are_any() {
        let now = Instant::now();
        let mut pick_up = PickUp::new(Duration::from_mins(1), PREFETCH);
        assert_eq!(act(&pick_up, now), None, "the first poll comes first");
        polled_in_vain(&mut pick_up, now);
        assert_eq!(act(&pick_up, now), Some((Duration::ZERO, Act::LookAhead)));
        pick_up.looked_ahead(Some(&[]), PREFETCH, clock(), now);
        assert_eq!(act(&pick_up, now), None);
        pick_up.saw_a_schedule();
        assert_eq!(act(&pick_up, now), Some((LOOK_AHEAD_GAP, Act::LookAhead)));
        pick_up.looked_ahead(Some(&[clock() + SignedDuration::from_secs(40)]), PREFETCH, clock(), now);
        assert_eq!(act(&pick_up, now), Some((Duration::from_secs(30), Act::Poll)));
        pick_up.polls(clock() + SignedDuration::from_secs(30));
        assert_eq!(act(&pick_up, now), Some((LOOK_AHEAD_AGAIN, Act::LookAhead)));
        let many = vec![clock() + SignedDuration::from_secs(130); usize::try_from(AHEAD).unwrap()];
        pick_up.looked_ahead(Some(many.as_slice()), PREFETCH, clock(), now);
        pick_up.polls(clock() + SignedDuration::from_secs(120));
        assert_eq!(act(&pick_up, now), Some((Duration::from_mins(2), Act::LookAhead)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_comes_back_while_it_is_executed_here_is_polled_for_when_it_has_ended() {
        let (mut pick_up, now) = (new(), Instant::now());
        pick_up.heard(created(1), true);
        assert!(!pick_up.awaits_an_end(), "it is here because of that event");
        for n in [1, 2] {
            pick_up.heard(Announcement { comes_back: true, ..created(n) }, true);
        }
        assert!(pick_up.awaits_an_end());
        assert_eq!(act(&pick_up, now), None);
        pick_up.ended(|live| live == run(2), |_| false);
        assert_eq!(act(&pick_up, now), Some((Duration::ZERO, Act::Poll)));
        polled_in_vain(&mut pick_up, now);
        pick_up.ended(|_| false, |parked| parked == run(2));
        assert!(!pick_up.awaits_an_end());
        assert_eq!(pick_up.unseen(), [run(1)], "what the server refused waits for its time");
    }
}

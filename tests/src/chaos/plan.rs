//! What is to happen in a round: everything follows from one number. Pure.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use super::job::Job;
use super::mishap::{ApiFault, Mishap, RunStrike, UserAct, WorkerStrike};

/// The points at which a worker can be told to kill itself.
pub const FAILPOINTS: &[&str] = &[
    "claim.before-persist",
    "claim.persisted",
    "claim.accepted",
    "claimed.persisted",
    "prepared",
    "announced",
    "launch.persisted",
    "launch.done",
    "launched.persisted",
    "report.persisted",
    "report.accepted",
    "cleanup.persisted",
    "cleaned-up",
    "forgotten",
];

/// Who serves the pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crew {
    /// One worker.
    One,
    /// Two workers, as on two machines.
    Two,
    /// Two workers on one state directory.
    TwoOnOneState,
}

impl Crew {
    /// How many workers it has.
    pub const fn size(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two | Self::TwoOnOneState => 2,
        }
    }
}

/// Where a run is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The queue that is there to the end.
    Main,
    /// A queue of the same pool that a user may delete.
    Queue,
    /// A pool that a user may delete.
    Pool,
}

/// A run to be made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PlannedRun {
    pub(super) at: Duration,
    pub(super) job: Job,
    pub(super) seconds: f64,
    pub(super) place: Place,
}

/// A mishap to happen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PlannedMishap {
    pub(super) at: Duration,
    /// How long it goes on, or how long what it ended stays away.
    pub(super) lasts: Duration,
    pub(super) what: Mishap,
}

/// A round.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The number that it follows from.
    pub seed: u64,
    /// Who serves the pools.
    pub crew: Crew,
    /// How many runs of a pool each worker takes at a time.
    pub limit: usize,
    pub(super) runs: Vec<PlannedRun>,
    pub(super) mishaps: Vec<PlannedMishap>,
    /// For each worker the point at which its first process kills itself, and the how manyeth time.
    pub(super) failpoints: Vec<Option<(&'static str, u32)>>,
    /// Whether the round goes on until the failpoints were reached.
    pub(super) waits_for_failpoints: bool,
    /// How long a worker stays away that has killed itself.
    pub(super) back_after: Duration,
}

impl Plan {
    /// A round of whatever can happen.
    pub fn seeded(seed: u64) -> Self {
        let dice = &mut StdRng::seed_from_u64(seed);
        let crew = match dice.random_range(0..10) {
            0..5 => Crew::One,
            5..7 => Crew::Two,
            _ => Crew::TwoOnOneState,
        };
        let mut runs: Vec<_> = (0..dice.random_range(6..=14)).map(|_| planned_run(dice)).collect();
        runs.sort_by_key(|run| run.at);
        let mut mishaps: Vec<_> = (0..dice.random_range(4..=12)).map(|_| planned_mishap(dice)).collect();
        if dice.random_bool(0.4) {
            mishaps.push(PlannedMishap { at: Duration::ZERO, lasts: SPAN, what: Mishap::Api(ApiFault::Errors(0.03)) });
        }
        if dice.random_bool(0.3) {
            mishaps.extend(burst_of_kills(dice));
        }
        mishaps.extend(needed_cancellations(&runs, dice));
        mishaps.sort_by_key(|mishap| mishap.at);
        let failpoints = (0..crew.size())
            .map(|_| dice.random_bool(0.3).then(|| (*FAILPOINTS.choose(dice).unwrap_or(&""), dice.random_range(1..=4))))
            .collect();
        let limit = *[2, 3, 5].choose(dice).unwrap_or(&2);
        Self { seed, crew, limit, runs, mishaps, failpoints, waits_for_failpoints: false, back_after: BACK_AFTER }
    }

    /// A round in which the worker kills itself the `nth` time it reaches a point.
    pub fn with_failpoint(point: &'static str, nth: u32) -> Self {
        let run = |job, seconds| PlannedRun { at: Duration::ZERO, job, seconds, place: Place::Main };
        let runs = vec![
            run(Job::Succeeds, 0.1),
            run(Job::IgnoresSigterm, 0.0),
            run(Job::LeavesChildren, 0.6),
            run(Job::Fails, 0.3),
        ];
        Self::around_failpoint(point, nth, runs, 1)
    }

    /// A round in which the worker kills itself at a point with its only run, which is cancelled while it is away if it
    /// comes there before.
    pub fn with_cancellation_at(point: &'static str) -> Self {
        let run = PlannedRun { at: Duration::ZERO, job: Job::IgnoresSigterm, seconds: 0.0, place: Place::Main };
        Self { back_after: CANCEL_AT * 2, ..Self::around_failpoint(point, 1, vec![run], 0) }
    }

    fn around_failpoint(point: &'static str, nth: u32, runs: Vec<PlannedRun>, cancelled: usize) -> Self {
        let what = Mishap::User(UserAct::Cancel(cancelled));
        Self {
            seed: 0,
            crew: Crew::One,
            limit: 4,
            runs,
            mishaps: vec![PlannedMishap { at: CANCEL_AT, lasts: Duration::ZERO, what }],
            failpoints: vec![Some((point, nth))],
            waits_for_failpoints: true,
            back_after: BACK_AFTER,
        }
    }

    /// A round in which the disk with the state is full again and again.
    pub fn on_small_disk(seed: u64) -> Self {
        let dice = &mut StdRng::seed_from_u64(seed);
        let whenever = |what, dice: &mut StdRng| PlannedMishap {
            at: moment(dice),
            lasts: Duration::from_millis(dice.random_range(500..3000)),
            what,
        };
        let mut plan = Self { crew: Crew::One, failpoints: vec![None], ..Self::seeded(seed) };
        plan.mishaps.retain(|mishap| matches!(mishap.what, Mishap::User(UserAct::Cancel(_))));
        plan.mishaps.extend((0..4).map(|_| whenever(Mishap::FillDisk, dice)));
        plan.mishaps.extend((0..2).map(|pick| whenever(Mishap::Worker { pick, strike: WorkerStrike::Kill }, dice)));
        plan.mishaps.sort_by_key(|mishap| mishap.at);
        plan
    }

    /// The same with at most so many runs, for an API that is slow.
    #[must_use]
    pub fn with_runs(mut self, most: usize) -> Self {
        self.runs.truncate(most);
        self.mishaps.retain(|planned| !matches!(planned.what, Mishap::User(UserAct::Cancel(run)) if run >= most));
        self
    }
}

/// How long a worker stays away that has killed itself.
const BACK_AFTER: Duration = Duration::from_millis(300);
/// When a run is cancelled in a round with a failpoint: by then the worker has started.
const CANCEL_AT: Duration = Duration::from_millis(1500);
/// How long runs are made and things go wrong.
const SPAN: Duration = Duration::from_secs(8);
/// Forty polls: what ten minutes are to a worker with settings as users have them.
const LONG_OUTAGE: Duration = Duration::from_secs(10);

fn moment(dice: &mut StdRng) -> Duration {
    SPAN.mul_f64(dice.random())
}

fn planned_run(dice: &mut StdRng) -> PlannedRun {
    let job = match dice.random_range(0..20) {
        0..7 => Job::Succeeds,
        7..9 => Job::Fails,
        9 => Job::Dies,
        10 => Job::CrashesAsEngine,
        11 => Job::Talks,
        12..15 => Job::LeavesChildren,
        15..18 => Job::IgnoresSigterm,
        _ => Job::Breeds,
    };
    let place = match dice.random_range(0..10) {
        0..6 => Place::Main,
        6..8 => Place::Queue,
        _ => Place::Pool,
    };
    let (at, seconds) = (moment(dice).mul_f64(0.7), dice.random_range(0.0..3.0));
    PlannedRun { at, job, seconds, place }
}

fn planned_mishap(dice: &mut StdRng) -> PlannedMishap {
    let pick = dice.random_range(0..64);
    let share = dice.random_range(0.03..0.5);
    let worker = |strike| Mishap::Worker { pick, strike };
    let run = |strike| Mishap::Run { pick, strike };
    let what = match dice.random_range(0..100) {
        0..22 => worker(WorkerStrike::Kill),
        22..27 => worker(WorkerStrike::Stop),
        27..29 => worker(WorkerStrike::StopTwice),
        29..34 => worker(WorkerStrike::Freeze),
        34..38 => run(RunStrike::KillSupervisor),
        38..42 => run(RunStrike::FreezeSupervisor),
        42..45 => run(RunStrike::KillCommand),
        45..50 => Mishap::Api(ApiFault::Errors(share)),
        50..55 => Mishap::Api(ApiFault::Resets(share)),
        55..63 => Mishap::Api(ApiFault::LostReplies(share)),
        63..67 => Mishap::Api(ApiFault::BlackHole),
        67..71 => Mishap::Api(ApiFault::Storm),
        71..74 => Mishap::Api(ApiFault::Slowness),
        74..77 => Mishap::Api(ApiFault::Outage),
        77..82 => Mishap::Api(ApiFault::CutWebsockets),
        82..88 => Mishap::User(UserAct::Cancel(pick)),
        88..91 => Mishap::User(UserAct::DeleteRun(pick)),
        91..94 => Mishap::User(UserAct::DeleteDeployment(pick)),
        94..96 => Mishap::User(UserAct::DeleteQueue),
        96..98 => Mishap::User(UserAct::DeletePool),
        _ => Mishap::User(UserAct::PausePool),
    };
    let lasts = Duration::from_millis(dice.random_range(100..4000));
    let lasts = if what == Mishap::Api(ApiFault::Outage) && dice.random_bool(0.3) { LONG_OUTAGE } else { lasts };
    PlannedMishap { at: moment(dice), lasts, what }
}

/// A worker that is killed again and again before it has taken over everything.
fn burst_of_kills(dice: &mut StdRng) -> Vec<PlannedMishap> {
    let (mut at, pick) = (moment(dice), dice.random_range(0..2));
    let mut kills = Vec::new();
    for _ in 0..dice.random_range(3..8) {
        at += Duration::from_millis(dice.random_range(50..600));
        let what = Mishap::Worker { pick, strike: WorkerStrike::Kill };
        kills.push(PlannedMishap { at, lasts: Duration::from_millis(20), what });
    }
    kills
}

/// What does not end by itself is cancelled at some moment, sometimes before it has begun.
fn needed_cancellations(runs: &[PlannedRun], dice: &mut StdRng) -> Vec<PlannedMishap> {
    let endless = runs.iter().enumerate().filter(|(_, run)| run.job.end().is_none());
    endless
        .map(|(index, run)| {
            let at = run.at + Duration::from_millis(dice.random_range(0..5000));
            PlannedMishap { at, lasts: Duration::ZERO, what: Mishap::User(UserAct::Cancel(index)) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_round() {
        assert_eq!(Plan::seeded(7), Plan::seeded(7));
        assert_ne!(Plan::seeded(7), Plan::seeded(8));
    }

    #[test]
    fn every_endless_run_is_cancelled_after_it_was_made() {
        for plan in (0..200).map(Plan::seeded) {
            for (index, run) in plan.runs.iter().enumerate().filter(|(_, run)| run.job.end().is_none()) {
                let ends = |planned: &PlannedMishap| {
                    planned.what == Mishap::User(UserAct::Cancel(index)) && planned.at >= run.at
                };
                assert!(plan.mishaps.iter().any(ends), "seed {}", plan.seed);
            }
        }
    }
}

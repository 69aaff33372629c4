//! Carrying out a plan.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use super::arena::Arena;
use super::case::Case;
use super::plan::{Crew, Place, Plan, PlannedMishap};
use super::seat::Seat;
use super::{aftermath, disturbance};
use crate::harness::SOON;

/// What became of a round.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The number that its plan follows from.
    pub seed: u64,
    /// How many runs were made.
    pub runs: usize,
    /// How many of them were executed.
    pub executed: usize,
    /// How often a worker was killed or killed itself.
    pub kills: u32,
    /// What happened, by kind.
    pub mishaps: BTreeMap<&'static str, u32>,
    /// How long it took after the last mishap until every run was settled.
    pub settled_in: Duration,
    /// What must not be.
    pub violations: Vec<String>,
}

/// A round under way.
pub(super) struct Round<'a> {
    pub(super) arena: &'a Arena,
    pub(super) plan: &'a Plan,
    pub(super) seats: Vec<Seat>,
    pub(super) cases: Vec<Case>,
    /// What is to be undone, and when.
    pub(super) to_undo: Vec<(Instant, disturbance::Undo)>,
    /// Nothing can be made in the pool any more.
    pub(super) pool_deleted: bool,
    pub(super) report: Report,
}

/// Time between two looks at what is due.
const TICK: Duration = Duration::from_millis(20);

/// Carries out a plan and tells what became of it.
pub async fn play(arena: &Arena, plan: &Plan) -> Report {
    let seats = (0..plan.crew.size()).map(|index| seat(arena, plan, index)).collect();
    let report = Report { seed: plan.seed, ..Report::default() };
    let mut round = Round { arena, plan, seats, cases: Vec::new(), to_undo: Vec::new(), pool_deleted: false, report };
    round.live_through().await;
    aftermath::of(round).await
}

fn seat(arena: &Arena, plan: &Plan, index: usize) -> Seat {
    let name = format!("worker-{index}");
    let state = state_of(arena, plan.crew, index);
    let spec = arena.worker(&name, plan.limit).env("WORKER_STATE_DIR", state);
    Seat::taken(&name, spec, plan.failpoints.get(index).copied().flatten())
}

/// The state directory of a worker.
pub(super) fn state_of(arena: &Arena, crew: Crew, index: usize) -> PathBuf {
    match crew {
        Crew::One | Crew::TwoOnOneState => arena.state().to_owned(),
        Crew::Two => arena.state().join(index.to_string()),
    }
}

impl Round<'_> {
    /// Makes the runs and lets things go wrong, until everything that was planned has happened.
    async fn live_through(&mut self) {
        let begun = Instant::now();
        let mut runs = self.plan.runs.iter().peekable();
        let mut mishaps = self.plan.mishaps.iter().peekable();
        loop {
            let now = begun.elapsed();
            while let Some(run) = runs.next_if(|run| run.at <= now) {
                let place = if self.pool_deleted && run.place == Place::Pool { Place::Main } else { run.place };
                self.cases.push(self.arena.make(run.job, run.seconds, place).await);
            }
            while let Some(mishap) = mishaps.next_if(|mishap| mishap.at <= now) {
                self.suffer(*mishap).await;
            }
            self.undo_what_is_over().await;
            for seat in &mut self.seats {
                seat.tend(self.plan.back_after).await;
            }
            let all_happened = runs.peek().is_none() && mishaps.peek().is_none() && self.to_undo.is_empty();
            if all_happened && !self.waits_for_failpoint(now) {
                return;
            }
            tokio::time::sleep(TICK).await;
        }
    }

    fn waits_for_failpoint(&mut self, now: Duration) -> bool {
        let waits = self.plan.waits_for_failpoints && self.seats.iter().any(Seat::awaits_failpoint);
        if waits && now > SOON {
            self.report.violations.push("the worker did not reach the point at which it was to kill itself".to_owned());
            return false;
        }
        waits
    }

    async fn suffer(&mut self, mishap: PlannedMishap) {
        if disturbance::happens(self, mishap).await {
            *self.report.mishaps.entry(mishap.what.kind()).or_default() += 1;
        }
    }

    async fn undo_what_is_over(&mut self) {
        let now = Instant::now();
        let over: Vec<_> = self.to_undo.extract_if(.., |(at, _)| *at <= now).map(|(_, undo)| undo).collect();
        for undo in over {
            disturbance::undo(self, undo).await;
        }
    }
}

impl Report {
    /// Fails with everything that is wrong, and with what the plan was.
    pub fn expect_no_violation(&self, plan: &Plan) {
        let violations = self.violations.join("\n");
        assert!(self.violations.is_empty(), "violations in the round of seed {}:\n{violations}\n{plan:#?}", self.seed);
    }
}

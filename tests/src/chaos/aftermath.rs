//! What is left of a round once everything is in order again, compared with what must be.

use std::time::Duration;

use central_api_wire::state::StateType;
use tokio::time::Instant;

use super::record::Moment;
use super::remains::Traces;
use super::round::{Report, Round, state_of};
use super::{accounts, disturbance};
use crate::harness::SOON;

/// How long the runs of a round may take to settle beyond what the API takes: the back-off of a report is at most half
/// a minute, and the longest runs take some seconds.
const SETTLES_WITHIN: Duration = Duration::from_secs(40);
/// How long leftovers may stay after the last run is settled: the mark of a launch that was given up stays for ten seconds.
const CLEAN_WITHIN: Duration = Duration::from_secs(50);
/// Time between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Sets everything right, waits until the runs are settled, and looks.
pub(super) async fn of(mut round: Round<'_>) -> Report {
    set_right(&mut round).await;
    let begun = Instant::now();
    let deadline = begun + round.arena.lab.patience + SETTLES_WITHIN;
    until_settled(&mut round, deadline).await;
    round.report.settled_in = begun.elapsed();
    let traces = traces(&round);
    nothing_is_left(&mut round, &traces).await;
    if round.report.violations.is_empty() {
        all_slots_are_free(&mut round).await;
    }
    nothing_is_left(&mut round, &traces).await;
    for seat in &mut round.seats {
        seat.tend(round.plan.back_after).await;
        seat.stop(false, Duration::ZERO).await;
    }
    round.report.violations.extend(accounts::journalled(&traces.states));
    judged(round).await
}

async fn set_right(round: &mut Round<'_>) {
    for (_, undo) in std::mem::take(&mut round.to_undo) {
        disturbance::undo(round, undo).await;
    }
    round.arena.proxy.clear();
    for seat in &mut round.seats {
        seat.tend(round.plan.back_after).await;
        seat.thaw();
        seat.return_now();
    }
}

async fn until_settled(round: &mut Round<'_>, deadline: Instant) {
    let mut open: Vec<_> = round.cases.clone();
    while let Some(case) = open.last() {
        for seat in &mut round.seats {
            seat.tend(round.plan.back_after).await;
        }
        let run = round.arena.lab.api.run(case.run).await;
        let state = run.as_ref().and_then(|run| run.state_type.as_ref());
        if run.is_none() || case.is_settled(state) {
            open.pop();
        } else if Instant::now() > deadline {
            round.report.violations.push(format!("run {} is {state:?} after the bound", case.run));
            open.pop();
        } else {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

fn traces<'a>(round: &Round<'a>) -> Traces<'a> {
    let state = |index| state_of(round.arena, round.plan.crew, index);
    Traces {
        folder: round.arena.folder(),
        states: (0..round.plan.crew.size()).map(state).collect(),
        temporary: round.seats.iter().map(|seat| seat.home().join("tmp")).collect(),
        runs: round.cases.iter().map(|case| case.run).collect(),
    }
}

/// Waits until no worker knows of a run and none has left anything. What was said once is not waited for again.
async fn nothing_is_left(round: &mut Round<'_>, traces: &Traces<'_>) {
    let deadline = Instant::now() + CLEAN_WITHIN;
    while round.report.violations.is_empty() {
        let mut left = traces.remaining();
        for state in &traces.states {
            match accounts::live_runs(state).await {
                Ok(runs) => left.extend(runs.into_iter().map(|run| format!("a run that holds its slot: {run}"))),
                Err(error) => left.push(error),
            }
        }
        if left.is_empty() {
            return;
        }
        if Instant::now() > deadline {
            round.report.violations.extend(left.into_iter().map(|what| format!("left behind: {what}")));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// As many runs as there are slots end well only if all of them are executed at the same time.
async fn all_slots_are_free(round: &mut Round<'_>) {
    let wanted = round.plan.limit * round.seats.len();
    let bound = round.arena.lab.patience;
    let meeting = round.arena.meeting(wanted, bound).await;
    let deadline = Instant::now() + bound + SOON;
    for run in meeting {
        let ended = loop {
            let state = round.arena.lab.run(run).await.state_type.filter(StateType::is_terminal);
            if state.is_some() || Instant::now() > deadline {
                break state;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        };
        if ended != Some(StateType::Completed) {
            let violation = format!("{wanted} slots are not free at the same time: run {run} is {ended:?}");
            round.report.violations.push(violation);
            return;
        }
    }
}

async fn judged(round: Round<'_>) -> Report {
    let Round { arena, seats, cases, mut report, .. } = round;
    let marks = arena.record.marks();
    for case in &cases {
        let history = arena.history(case.run).await;
        report.violations.extend(case.violations(history.as_deref(), &marks));
        let is_start = |what: Moment| what == Moment::Start;
        report.executed += usize::from(marks.iter().any(|mark| mark.run == case.run && is_start(mark.what)));
    }
    report.runs = cases.len();
    for seat in &seats {
        report.kills += seat.kills;
        report.violations.extend(seat.violations.clone());
    }
    if !report.violations.is_empty() {
        report.violations.extend(seats.iter().flat_map(super::seat::Seat::tails));
    }
    report
}

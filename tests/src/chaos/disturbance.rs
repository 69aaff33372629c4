//! Letting things go wrong, and setting them right again.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;
use worker_core::ids::RunId;

use super::case::Case;
use super::mishap::{ApiFault, Mishap, RunStrike, UserAct, WorkerStrike};
use super::plan::{Place, PlannedMishap};
use super::record::Moment;
use super::remains;
use super::round::Round;
use crate::faults::{Fault, Rule, RuleId};
use crate::harness::is_alive;

/// What sets something right again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Undo {
    /// A rule of the proxy is lifted.
    Lift(RuleId),
    /// A worker gets processor time.
    Thaw(usize),
    /// A process gets processor time.
    Continue(Pid),
    /// The pool goes on.
    Unpause,
    /// There is space again.
    FreeDisk,
}

/// How long a storm asks to be left alone, in seconds.
const STORM_ASKS: &str = "1";
/// Longer than a worker in a round waits for an answer.
const SLOW: Duration = Duration::from_millis(2500);

/// Lets it happen. Tells whether it could.
pub(super) async fn happens(round: &mut Round<'_>, mishap: PlannedMishap) -> bool {
    let until = Instant::now() + mishap.lasts;
    match mishap.what {
        Mishap::Worker { pick, strike } => strike_worker(round, pick, strike, mishap.lasts).await,
        Mishap::Run { pick, strike } => return strike_run(round, pick, strike, until),
        Mishap::Api(fault) => break_api(round, fault, until),
        Mishap::User(act) => return user_acts(round, act, until).await,
        Mishap::FillDisk => {
            round.arena.fill_disk();
            round.to_undo.push((until, Undo::FreeDisk));
        }
    }
    true
}

pub(super) async fn undo(round: &mut Round<'_>, undo: Undo) {
    match undo {
        Undo::Lift(rule) => round.arena.proxy.lift(rule),
        Undo::Thaw(seat) => {
            if let Some(seat) = round.seats.get_mut(seat) {
                seat.thaw();
            }
        }
        // It may have been killed meanwhile.
        Undo::Continue(pid) => kill_process(pid, Signal::CONT).unwrap_or_default(),
        Undo::Unpause => round.arena.pause_pool(false).await,
        Undo::FreeDisk => round.arena.free_disk(),
    }
}

fn break_api(round: &mut Round<'_>, fault: ApiFault, until: Instant) {
    let proxy = &round.arena.proxy;
    let everything = |fault| Rule::on("**", fault);
    let rule = match fault {
        ApiFault::Errors(share) => everything(Fault::status(500)).chance(share),
        ApiFault::Resets(share) => everything(Fault::Reset).chance(share),
        ApiFault::LostReplies(share) => everything(Fault::LoseReply).chance(share),
        ApiFault::BlackHole => everything(Fault::BlackHole),
        ApiFault::Storm => everything(Fault::status_retry_after(429, STORM_ASKS)),
        ApiFault::Slowness => everything(Fault::Delay(SLOW)),
        ApiFault::Outage => {
            proxy.cut_websockets();
            everything(Fault::Reset)
        }
        ApiFault::CutWebsockets => {
            proxy.cut_websockets();
            return;
        }
    };
    round.to_undo.push((until, Undo::Lift(proxy.add(rule))));
}

async fn strike_worker(round: &mut Round<'_>, pick: usize, strike: WorkerStrike, lasts: Duration) {
    let index = pick % round.seats.len();
    let Some(seat) = round.seats.get_mut(index) else { return };
    match strike {
        WorkerStrike::Kill => seat.kill(lasts).await,
        WorkerStrike::Stop => seat.stop(false, lasts).await,
        WorkerStrike::StopTwice => seat.stop(true, lasts).await,
        WorkerStrike::Freeze => {
            seat.freeze();
            round.to_undo.push((Instant::now() + lasts, Undo::Thaw(index)));
        }
    }
}

fn strike_run(round: &mut Round<'_>, pick: usize, strike: RunStrike, until: Instant) -> bool {
    let targets = match strike {
        RunStrike::KillCommand => commands(round),
        RunStrike::KillSupervisor | RunStrike::FreezeSupervisor => {
            let runs: Vec<_> = round.cases.iter().map(|case| case.run).collect();
            remains::supervisors(&runs)
        }
    };
    let Some((pid, run)) = targets.get(pick % targets.len().max(1)).copied() else { return false };
    let Some(case) = round.cases.iter_mut().find(|case| case.run == run) else { return false };
    let Some(pid) = Pid::from_raw(pid) else { return false };
    let signal = match strike {
        RunStrike::KillCommand => {
            case.suffered.command_killed = true;
            Signal::KILL
        }
        RunStrike::KillSupervisor => {
            case.suffered.supervisor_killed = true;
            Signal::KILL
        }
        RunStrike::FreezeSupervisor => {
            round.to_undo.push((until, Undo::Continue(pid)));
            Signal::STOP
        }
    };
    kill_process(pid, signal).is_ok()
}

/// The processes of runs that are being executed.
fn commands(round: &Round<'_>) -> Vec<(i32, RunId)> {
    let marks = round.arena.record.marks();
    let began = marks.iter().filter(|mark| mark.what == Moment::Start);
    // Its number may have been given to another process since.
    let lives = |pid: i32, key: &str| is_alive(pid) && remains::launch_key(pid).as_deref() == Some(key);
    began.filter(|mark| lives(mark.pid, &mark.key)).map(|mark| (mark.pid, mark.run)).collect()
}

async fn user_acts(round: &mut Round<'_>, act: UserAct, until: Instant) -> bool {
    let arena = round.arena;
    match act {
        UserAct::Cancel(pick) => {
            let Some(case) = picked(&mut round.cases, pick) else { return false };
            case.suffered.cancelled = true;
            arena.cancel(case.run).await;
        }
        UserAct::DeleteRun(pick) => {
            // What does not end by itself has to be there to be cancelled.
            let case = picked(&mut round.cases, pick).filter(|case| case.job.end().is_some());
            let Some(case) = case else { return false };
            case.suffered.deleted = true;
            arena.delete_run(case.run).await;
        }
        UserAct::DeleteDeployment(pick) => {
            let Some(case) = picked(&mut round.cases, pick) else { return false };
            case.suffered.deployment_deleted = true;
            arena.delete_deployment(case.deployment).await;
        }
        UserAct::DeleteQueue => {
            forsake(&mut round.cases, Place::Queue);
            arena.delete_queue().await;
        }
        UserAct::DeletePool => {
            forsake(&mut round.cases, Place::Pool);
            round.pool_deleted = true;
            arena.delete_pool().await;
        }
        UserAct::PausePool => {
            arena.pause_pool(true).await;
            round.to_undo.push((until, Undo::Unpause));
        }
    }
    true
}

fn picked(cases: &mut [Case], pick: usize) -> Option<&mut Case> {
    let index = pick % cases.len().max(1);
    cases.get_mut(index)
}

fn forsake(cases: &mut [Case], place: Place) {
    for case in cases.iter_mut().filter(|case| case.place == place) {
        case.suffered.place_deleted = true;
    }
}

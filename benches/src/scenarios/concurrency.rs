//! Runs that execute at the same time, and their cancellation.

use std::time::{Duration, Instant};

use central_api_wire::state::StateType;
use worker_core::ids::RunId;

use super::{SOON, float, gave_up};
use crate::extent::Extent;
use crate::figures::{Column, Report};
use crate::stage::{POOL, Stage};
use crate::subject::{Programs, Running};
use crate::usage::{Usage, runs_of};

/// So many are cancelled at once.
const CANCELLED: usize = 500;
/// So long may the start of a run take on average.
const A_START: Duration = Duration::from_millis(200);
/// Figures of so many runs, whatever else the machine has to do: nothing is held back.
const SETTINGS: &[(&str, &str)] = &[("WORKER_ADMISSION_ENABLED", "false")];

pub(super) async fn measure(programs: &Programs, extent: &Extent, report: &mut Report) {
    for &runs in &extent.live_runs {
        for who in programs.workers().filter(|who| *who == Column::Ours || runs <= extent.live_runs_of_prefect) {
            of_worker(programs, who, runs, extent, report).await;
        }
    }
}

async fn of_worker(programs: &Programs, who: Column, runs: usize, extent: &Extent, report: &mut Report) {
    let stage = Stage::new().await;
    let deployment = stage.command("sleep 3600");
    let mut worker = programs.start_with(who, stage.url(), POOL, SETTINGS);
    if !stage.until(&mut worker, SOON, |stage| stage.first_poll().is_some()).await {
        return gave_up(report, who, "poll", &worker);
    }
    let empty = worker.usage();
    let begun = Instant::now();
    let ids = stage.due(deployment, runs);
    let bound = SOON + A_START * u32::try_from(runs).unwrap_or(u32::MAX);
    if !stage.until(&mut worker, bound, |stage| stage.started() >= runs).await {
        report.count(who, stage.tally_of_live(&ids));
        return gave_up(report, who, &format!("start {runs} runs ({} were)", stage.started()), &worker);
    }
    let name = |figure: &str| format!("{runs} live runs: {figure}");
    report.add(name("all started after, s"), who, begun.elapsed().as_secs_f64());
    tokio::time::sleep(extent.settled).await;
    let before = worker.usage();
    tokio::time::sleep(extent.watched).await;
    let after = worker.usage();
    let share = after.own.saturating_sub(before.own).as_secs_f64() / extent.watched.as_secs_f64();
    report.add(name("resident memory, MiB"), who, after.resident);
    report.add(name("resident memory for a run, KiB"), who, (after.resident - empty.resident) * 1024.0 / float(runs));
    report.add(name("threads"), who, after.threads);
    report.add(name("processor, % of a core"), who, share * 100.0);
    if who == Column::Ours {
        supervisors(&worker, runs, report);
    }
    report.count(who, stage.tally_of_live(&ids));
    cancel(&stage, &mut worker, &ids, who, report).await;
}

/// Cancels the first of the runs and waits until their processes are gone and the API was told.
async fn cancel(stage: &Stage, worker: &mut Running, ids: &[RunId], who: Column, report: &mut Report) {
    let chosen = ids.get(..CANCELLED).unwrap_or(ids);
    let begun = Instant::now();
    for run in chosen {
        stage.cancel(*run);
    }
    let is_over = |stage: &Stage| stage.ended() >= chosen.len() && stage.executed() >= chosen.len();
    if !stage.until(worker, SOON, is_over).await {
        return gave_up(report, who, &format!("end {} cancelled runs ({} were)", chosen.len(), stage.ended()), worker);
    }
    let name = |figure: &str| format!("{} live runs: {} of them cancelled, {figure}", ids.len(), chosen.len());
    report.add(name("all gone after, s"), who, begun.elapsed().as_secs_f64());
    let cancelled = stage.in_state(&StateType::Cancelled);
    report.add(name("in the state Cancelled, %"), who, 100.0 * float(cancelled) / float(chosen.len()));
    if cancelled < chosen.len() {
        report
            .wrong(who, &format!("let {} of {} cancelled runs end otherwise", chosen.len() - cancelled, chosen.len()));
    }
}

fn supervisors(worker: &Running, runs: usize, report: &mut Report) {
    let supervisors: Vec<Usage> = runs_of(worker.pid()).into_iter().map(Usage::of).collect();
    let mean = |of: fn(&Usage) -> f64| supervisors.iter().map(of).sum::<f64>() / float(supervisors.len().max(1));
    let name = |figure: &str| format!("{runs} live runs: {figure}");
    report.add(name("supervisors"), Column::Ours, float(supervisors.len()));
    report.add(name("a supervisor, resident, MiB"), Column::Ours, mean(|usage| usage.resident));
    report.add(name("a supervisor, proportional, MiB"), Column::Ours, mean(|usage| usage.proportional));
    let all = supervisors.iter().map(|usage| usage.proportional).sum::<f64>();
    report.add(name("all supervisors, proportional, MiB"), Column::Ours, all);
}

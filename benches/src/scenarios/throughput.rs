//! Short commands that are all due at once, without a limit.

use std::time::{Duration, Instant};

use central_api_wire::state::StateType;

use super::{SOON, float, gave_up, milliseconds};
use crate::bare_loop::{DONE, Part};
use crate::extent::Extent;
use crate::figures::{Column, Report, percentile};
use crate::stage::{POOL, Stage};
use crate::subject::{Programs, Running};
use crate::usage::{Usage, runs_of};

/// So much faster than the worker the API has to be for the figures to be the worker's.
const HEADROOM: f64 = 2.0;

pub(super) async fn measure(programs: &Programs, extent: &Extent, report: &mut Report) {
    for &runs in &extent.short_runs {
        for part in [Part::Processes, Part::Calls, Part::All] {
            of_bare_loop(runs, part, report).await;
        }
        for who in programs.workers().filter(|who| *who == Column::Ours || runs <= extent.short_runs_of_prefect) {
            of_worker(programs, who, runs, report).await;
        }
        judge_the_api(runs, report);
    }
}

/// How long so many runs may take before a worker counts as stuck.
fn bound(who: Column, runs: usize) -> Duration {
    let each = if who == Column::Prefect { Duration::from_millis(400) } else { Duration::from_millis(40) };
    SOON + each * u32::try_from(runs).unwrap_or(u32::MAX)
}

async fn of_worker(programs: &Programs, who: Column, runs: usize, report: &mut Report) {
    let stage = Stage::new().await;
    let ids = stage.due(stage.engine("/bin/true"), runs);
    let mut worker = programs.start(who, stage.url(), POOL);
    if !stage.until(&mut worker, SOON, |stage| stage.first_poll().is_some()).await {
        return gave_up(report, who, "poll", &worker);
    }
    let before = Moment::of(&worker);
    let asked = stage.traffic();
    let is_done = stage.until(&mut worker, bound(who, runs), |stage| stage.executed() >= runs).await;
    let took = before.at.elapsed();
    // What the last runs cost is booked when their processes have been waited for.
    let pid = worker.pid();
    stage.until(&mut worker, Duration::from_secs(5), |_| runs_of(pid).is_empty()).await;
    let (after, asked_then) = (Moment::of(&worker), stage.traffic());
    report.count(who, stage.tally(&ids));
    if !is_done {
        return gave_up(report, who, &format!("execute {runs} runs ({} were)", stage.executed()), &worker);
    }
    let waits = stage.waits();
    let name = |figure: &str| format!("{runs} short commands: {figure}");
    before.until(&after, took, runs, who, report);
    report.add(name("requests a run"), who, float(asked_then.requests - asked.requests) / float(runs));
    let opened = u32::try_from(asked_then.connections - asked.connections).unwrap_or(u32::MAX);
    report.add(name("TCP connections a run"), who, f64::from(opened) / float(runs));
    report.add(name("first poll to started, median, s"), who, percentile(&waits, 50));
    report.add(name("first poll to started, 95th percentile, s"), who, percentile(&waits, 95));
    report.add(name("resident memory at the end, MiB"), who, after.program.resident);
    let kinds = stage.kinds_of_requests();
    let shown = kinds.iter().filter(|(_, times)| *times * 100 >= runs);
    let shown: Vec<String> =
        shown.map(|(kind, times)| format!("`{kind}` {:.2}", float(*times) / float(runs))).collect();
    report.remark(format!("{who} asked for a run of {runs} short commands: {}", shown.join(", ")));
}

async fn of_bare_loop(runs: usize, part: Part, report: &mut Report) {
    let stage = Stage::new().await;
    stage.due(stage.engine("/bin/true"), runs);
    let mut bare = Programs::bare(stage.url(), POOL, runs, part);
    // It begins with its first poll; without calls with its start, which takes milliseconds.
    if part != Part::Processes && !stage.until(&mut bare, SOON, |stage| stage.first_poll().is_some()).await {
        return gave_up(report, Column::Bare, "poll", &bare);
    }
    let before = Moment::of(&bare);
    let mut is_done = false;
    while !is_done && before.at.elapsed() < bound(Column::Bare, runs) && !bare.has_ended() {
        tokio::time::sleep(Duration::from_millis(5)).await;
        is_done = bare.log().contains(DONE);
    }
    let took = before.at.elapsed();
    let after = Moment::of(&bare);
    let completed = stage.in_state(&StateType::Completed);
    if !is_done || (part != Part::Processes && completed != runs) {
        return gave_up(report, Column::Bare, &format!("complete {runs} runs ({completed} were)"), &bare);
    }
    let a_second = float(runs) / took.as_secs_f64();
    match part {
        Part::All => before.until(&after, took, runs, Column::Bare, report),
        Part::Calls => report.add(calls_alone(runs), Column::Bare, a_second),
        Part::Processes => {
            report.add(format!("{runs} short commands: processes/s, without calls"), Column::Bare, a_second);
        }
    }
}

fn calls_alone(runs: usize) -> String {
    format!("{runs} short commands: runs/s, calls alone (what the API bears)")
}

fn runs_a_second(runs: usize) -> String {
    format!("{runs} short commands: runs/s")
}

/// Says how much room the API left.
fn judge_the_api(runs: usize, report: &mut Report) {
    let bears = report.median(&calls_alone(runs), Column::Bare);
    let reached = report.median(&runs_a_second(runs), Column::Ours);
    let (Some(bears), Some(reached)) = (bears, reached) else { return };
    if bears < HEADROOM * reached {
        report.remark(format!(
            "**With {runs} short commands the API may be a bottleneck**: it bears {bears:.0} runs/s of the bare loop's seven \
             calls, the worker reached {reached:.0}"
        ));
    }
}

/// What a program and the API had used at a moment.
struct Moment {
    at: Instant,
    program: Usage,
    /// This process, which is the API and little else.
    api: Usage,
}

impl Moment {
    fn of(program: &Running) -> Self {
        Self { at: Instant::now(), program: program.usage(), api: Usage::of(std::process::id()) }
    }

    /// Figures of what lies between this moment and a later one.
    fn until(&self, after: &Self, took: Duration, runs: usize, who: Column, report: &mut Report) {
        let each = |total: Duration| milliseconds(total) / float(runs);
        let total = after.program.total().saturating_sub(self.program.total());
        let own = after.program.own.saturating_sub(self.program.own);
        let api = after.api.own.saturating_sub(self.api.own);
        report.add(runs_a_second(runs), who, float(runs) / took.as_secs_f64());
        let name = |figure: &str| format!("{runs} short commands: {figure}");
        report.add(name("processor time a run, supervisor and command included, ms"), who, each(total));
        report.add(name("processor time a run in the program itself, ms"), who, each(own));
        report.add(name("processor time of the API a run, ms"), who, each(api));
        report.add(name("the API's share of a core, %"), who, 100.0 * api.as_secs_f64() / took.as_secs_f64());
    }
}

//! Flows of the Prefect SDK on a real server.

use std::time::{Duration, Instant};

use central_api_wire::state::{State, StateType};
use serde_json::{Map, Value, json};
use worker_core::ids::{DeploymentId, RunId};
use worker_tests::harness::{DeploymentSpec, Lab, PrefectServer, RunSpec, Sdk, process_template, workspace_root};

use super::pick_up::{Stamps, pause};
use super::{SOON, float, gave_up};
use crate::extent::Extent;
use crate::figures::{Column, Report, Tally};
use crate::subject::{Programs, Running};

/// Time between two looks at the runs: the server has other things to do.
const LOOK: Duration = Duration::from_millis(500);
/// So long may a flow take on average.
const A_FLOW: Duration = Duration::from_secs(10);
/// Flows that are run one by one.
const SINGLE: usize = 5;
/// The setting for warm starts, and its variable.
const WARM: (&str, &str) = ("process.warm", "WORKER_PROCESS_WARM");

pub(super) async fn measure(programs: &Programs, extent: &Extent, report: &mut Report) {
    if programs.prefect().is_none() && !workspace_root().join(".tools/python/bin/prefect").is_file() {
        return report.remark("Real flows were left out: they need Prefect, which scripts/python-env installs");
    }
    let has_postgres = PrefectServer::can_be_on_postgres();
    let server = if has_postgres { PrefectServer::on_postgres().await } else { PrefectServer::start().await };
    let database =
        if has_postgres { "PostgreSQL" } else { "**SQLite, which can keep the server from writing for minutes**" };
    report.remark(format!("The real server was on {database}, on the same machine"));
    let has_warm = programs.knows(WARM.0).await;
    if !has_warm {
        report.remark(format!("Warm starts were left out: this worker does not know the setting `{}`", WARM.0));
    }
    let bed = Bed { lab: Lab::on_server(server.rest.api_url()), sdk: Sdk::new(server.rest.api_url()), extent };
    for who in programs.workers() {
        bed.flows(programs, who, Start::Cold, report).await;
        if who == Column::Ours && has_warm {
            bed.flows(programs, who, Start::Warm, report).await;
        }
        bed.pick_up(programs, who, report).await;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Cold,
    Warm,
}

impl Start {
    const fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Warm => "warm",
        }
    }

    /// The value of the setting.
    const fn setting(self) -> (&'static str, &'static str) {
        match self {
            Self::Cold => (WARM.1, "off"),
            Self::Warm => (WARM.1, "auto"),
        }
    }
}

struct Bed<'a> {
    lab: Lab,
    sdk: Sdk,
    extent: &'a Extent,
}

impl Bed<'_> {
    async fn pool(&self) -> String {
        let pool = self.lab.fresh_name("measured");
        self.lab.api.create_pool(&pool, "process", process_template()).await;
        pool
    }

    async fn run(&self, deployment: DeploymentId) -> RunId {
        self.lab.api.create_run(deployment, RunSpec::default()).await
    }

    async fn flows(&self, programs: &Programs, who: Column, start: Start, report: &mut Report) {
        let pool = self.pool().await;
        let folder = workspace_root().join("tests/flows");
        let deployed = self.sdk.deploy(&folder.to_string_lossy(), &pool, Map::new(), &["succeeds"]).await;
        let deployment = deployed.into_values().next().expect("the flow was deployed");
        let settings =
            if start == Start::Warm || programs.knows(WARM.0).await { vec![start.setting()] } else { vec![] };
        let mut worker = programs.start_with(who, self.lab.api.api_url(), &pool, &settings);
        // The first run is not counted: it is the one that a warm interpreter is started for.
        let first = self.run(deployment).await;
        if !self.ended(&[first], SOON, &mut worker).await {
            return gave_up(report, who, "run a first flow", &worker);
        }
        let name = start.name();
        let mut judged = Vec::new();
        for turn in 0..self.extent.pick_ups.min(SINGLE) {
            tokio::time::sleep(pause(turn)).await;
            let run = self.run(deployment).await;
            if !self.ended(&[run], SOON, &mut worker).await {
                return gave_up(report, who, "run a flow", &worker);
            }
            let states = self.lab.api.states(run).await;
            let at = |kind: &StateType| states.iter().find(|state| state.state_type == *kind)?.timestamp;
            if let (Some(made), Some(running)) = (at(&StateType::Scheduled), at(&StateType::Running)) {
                let waited = running.duration_since(made).as_secs_f64();
                report.add(format!("one flow, {name}: created to Running, s"), who, waited);
            }
            judged.push(run);
        }
        let mut runs = Vec::new();
        for _ in 0..self.extent.flows {
            runs.push(self.run(deployment).await);
        }
        let begun = Instant::now();
        let bound = SOON + A_FLOW * u32::try_from(runs.len()).unwrap_or(u32::MAX);
        let all_ended = self.ended(&runs, bound, &mut worker).await;
        let minutes = begun.elapsed().as_secs_f64() / 60.0;
        judged.extend(&runs);
        report.count(who, self.tally(&judged).await);
        if !all_ended {
            return gave_up(report, who, "run its flows", &worker);
        }
        report.add(format!("{} flows at once, {name}: runs a minute", runs.len()), who, float(runs.len()) / minutes);
    }

    /// How soon a process begins, apart from what its flow needs then.
    async fn pick_up(&self, programs: &Programs, who: Column, report: &mut Report) {
        let pool = self.lab.pool_named(&self.pool().await).await;
        let mut worker = programs.start(who, self.lab.api.api_url(), &pool.name);
        let stamps = Stamps::of(&worker);
        let variables = Map::from_iter([("command".to_owned(), Value::String(stamps.command()))]);
        let deployment =
            pool.deployment(DeploymentSpec { job_variables: variables, ..DeploymentSpec::default() }).await;
        tokio::time::sleep(self.extent.settled).await;
        for turn in 0..self.extent.pick_ups {
            tokio::time::sleep(pause(turn)).await;
            let run = self.run(deployment).await;
            let begun = Instant::now();
            while stamps.read(run).is_none() && begun.elapsed() < SOON && !worker.has_ended() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let states = self.lab.api.states(run).await;
            let made = states.first().and_then(|state| state.timestamp);
            let (Some(made), Some(started)) = (made, stamps.read(run)) else {
                return gave_up(report, who, "start a run", &worker);
            };
            let waited = started.duration_since(made).as_secs_f64() * 1000.0;
            report.add("real server: created to process started, idle worker, ms", who, waited);
        }
    }

    async fn tally(&self, runs: &[RunId]) -> Tally {
        let mut tally = Tally { runs: runs.len(), ..Tally::default() };
        for run in runs {
            let states = self.lab.api.states(*run).await;
            let times = |kind: &StateType| states.iter().filter(|state: &&State| state.state_type == *kind).count();
            tally.lost += usize::from(times(&StateType::Completed) == 0);
            tally.doubled += usize::from(times(&StateType::Running) > 1);
            tally.crashed += usize::from(times(&StateType::Crashed) > 0);
        }
        tally
    }

    /// Waits until all runs are over, asked for together.
    async fn ended(&self, runs: &[RunId], bound: Duration, worker: &mut Running) -> bool {
        let terminal = ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"];
        let ids: Vec<String> = runs.iter().map(ToString::to_string).collect();
        let query = json!({"flow_runs": {"id": {"any_": ids}, "state": {"type": {"any_": terminal}}}});
        let begun = Instant::now();
        while begun.elapsed() < bound && !worker.has_ended() {
            let (_, count) = self.lab.api.call(http::Method::POST, "/flow_runs/count", Some(&query)).await;
            if count.as_u64() == u64::try_from(runs.len()).ok() {
                return true;
            }
            tokio::time::sleep(LOOK).await;
        }
        false
    }
}

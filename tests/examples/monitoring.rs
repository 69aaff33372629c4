//! What a worker's metrics look like, with faults and after many runs.
//!
//! `cargo run -p worker-tests --example monitoring record [FAULT]` scrapes workers that suffer from something and writes what they show
//! into `deploy/observability/recorded`, where the alert rules are tested with it. `… series [RUNS]` executes short runs and
//! prints how many series there are before and after, and how large a scrape is.
#![expect(clippy::print_stdout, reason = "it prints its figures")]
#![expect(clippy::float_cmp, reason = "counts are whole numbers")]

use std::time::Duration;

use central_api_wire::state::StateType;
use jiff::{Timestamp, ToSpan};
use url::Url;
use worker_tests::api::{ApiOptions, TestApi};
use worker_tests::faults::{Fault, FaultProxy, Rule};
use worker_tests::harness::{
    Daemon, DaemonSpec, Lab, LabPool, Monitor, RunSpec, Scrape, process_template, until, workspace_root,
};

/// So long may a fault take to show.
const BOUND: Duration = Duration::from_mins(2);
/// The one pool that there is.
const POOL: &str = "flows";
/// The name of the worker.
const NAME: &str = "worker-1";

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("record") => record(arguments.get(1).map(String::as_str)).await,
        Some("series") => series(arguments.get(1).and_then(|count| count.parse().ok()).unwrap_or(10_000)).await,
        _ => println!("record [FAULT], or series [RUNS]"),
    }
}

/// An API in memory with the pool, and a proxy before it.
struct Place {
    _api: TestApi,
    proxy: FaultProxy,
    pool: LabPool,
}

impl Place {
    async fn new() -> Self {
        let api = TestApi::start(ApiOptions::default()).await.expect("the API in memory starts");
        let lab = Lab::new(api.url().as_str());
        lab.api.create_pool(POOL, "process", process_template()).await;
        let pool = lab.pool_named(POOL).await;
        let url = Url::parse(lab.api.api_url()).expect("it has a URL");
        let proxy = FaultProxy::start(&url, 1).await.expect("the proxy starts");
        Self { _api: api, proxy, pool }
    }

    fn spec(&self, variables: &[(&str, &str)]) -> DaemonSpec {
        let spec = self.pool.daemon().name(NAME).env("WORKER_START_LIMIT", "2").monitored();
        let spec = spec.env("PREFECT_API_URL", self.proxy.url().as_str());
        variables.iter().fold(spec, |spec, (name, value)| spec.env(name, value))
    }

    async fn worker(&self, variables: &[(&str, &str)]) -> (Daemon, Monitor) {
        let daemon = self.spec(variables).spawn();
        let monitor = Monitor::of(&daemon).await;
        (daemon, monitor)
    }

    /// Runs of a command, due an hour ago.
    async fn late(&self, command: &str, runs: usize) {
        let deployment = self.pool.command(command).await;
        for _ in 0..runs {
            let due = Some(Timestamp::now() - 1.hour());
            self.pool.lab.api.create_run(deployment, RunSpec { due, ..RunSpec::default() }).await;
        }
    }

    async fn completes(&self, runs: usize) {
        let deployment = self.pool.command("true").await;
        for _ in 0..runs {
            let run = self.pool.run(deployment).await;
            self.pool.lab.reaches(run, StateType::Completed).await;
        }
    }
}

fn write(name: &str, scrape: &Scrape) {
    let path = workspace_root().join("deploy/observability/recorded").join(format!("{name}.prom"));
    fs_err::write(&path, &scrape.0).expect("the workspace can be written");
    println!("{}: {} series", path.display(), scrape.series().len());
}

async fn shows(monitor: &Monitor, is_so: impl Fn(&Scrape) -> bool) -> Scrape {
    until(BOUND, "the fault to show", async || Some(monitor.scrape().await).filter(|now| is_so(now))).await
}

/// All faults, or those of this name.
async fn record(only: Option<&str>) {
    let is_wanted = |name: &str| only.is_none_or(|only| only == name);
    if is_wanted("well") || is_wanted("api-down") {
        well_and_then_without_api().await;
    }
    if is_wanted("loop-stalled") {
        loop_stalled().await;
    }
    if is_wanted("crashes") {
        crashes().await;
    }
    if is_wanted("slots-full") {
        slots_full().await;
    }
    if is_wanted("machine-full") {
        machine_full().await;
    }
    if is_wanted("strays") {
        strays().await;
    }
}

async fn well_and_then_without_api() {
    let place = Place::new().await;
    let (_daemon, monitor) = place.worker(&[]).await;
    place.completes(3).await;
    write("well", &shows(&monitor, |now| now.sum("worker_runs_ended_total", &[]) == 3.0).await);
    place.proxy.add(Rule::on("**", Fault::Reset));
    let is_down = |now: &Scrape| now.sum("worker_pool_up", &[]) == 0.0;
    write("api-down", &shows(&monitor, is_down).await);
}

async fn loop_stalled() {
    let place = Place::new().await;
    let (_daemon, monitor) = place.worker(&[("WORKER_STALL", "repair")]).await;
    place.completes(3).await;
    write("loop-stalled", &shows(&monitor, |now| now.sum("worker_loop_stalled", &[]) == 1.0).await);
}

async fn crashes() {
    let place = Place::new().await;
    let (_daemon, monitor) = place.worker(&[]).await;
    place.completes(3).await;
    let deployment = place.pool.command("sh -c 'kill -9 $$'").await;
    for _ in 0..5 {
        let run = place.pool.run(deployment).await;
        place.pool.lab.reaches(run, StateType::Crashed).await;
    }
    write("crashes", &shows(&monitor, |now| now.sum("worker_crashes_total", &[]) == 5.0).await);
}

async fn slots_full() {
    let place = Place::new().await;
    let (_daemon, monitor) = place.worker(&[]).await;
    place.completes(3).await;
    place.late("sleep 3600", 4).await;
    let is_late = |now: &Scrape| {
        now.sum("worker_late_run_age_seconds", &[]) > 3000.0 && now.sum("worker_runs", &["state=\"running\""]) == 2.0
    };
    write("slots-full", &shows(&monitor, is_late).await);
}

async fn machine_full() {
    let place = Place::new().await;
    // It is always as full as that; the first run is started all the same.
    let (_daemon, monitor) = place.worker(&[("WORKER_ADMISSION_MAX_MEMORY_PERCENT", "1")]).await;
    place.completes(3).await;
    place.late("sleep 3600", 2).await;
    let is_full = |now: &Scrape| {
        now.sum("worker_admission_held", &["reason=\"memory\""]) == 1.0
            && now.sum("worker_late_run_age_seconds", &[]) > 3000.0
            && now.sum("worker_runs", &["state=\"running\""]) == 1.0
    };
    write("machine-full", &shows(&monitor, is_full).await);
}

async fn strays() {
    let place = Place::new().await;
    let (daemon, monitor) = place.worker(&[]).await;
    place.completes(3).await;
    let run = place.pool.run(place.pool.command("sleep 3600").await).await;
    place.pool.lab.reaches(run, StateType::Running).await;
    drop(monitor);
    let home = daemon.kill().await;
    fs_err::write(home.path().join("state/daemon-1/journal.redb"), "this is no journal").expect("it can be written");
    let daemon = place.spec(&[]).spawn_in(home);
    let monitor = Monitor::of(&daemon).await;
    let is_found = |now: &Scrape| now.sum("worker_repairs_total", &["what=\"stray_taken_over\""]) == 1.0;
    write("strays", &shows(&monitor, is_found).await);
}

async fn series(runs: usize) {
    let place = Place::new().await;
    let (daemon, monitor) = place.worker(&[("WORKER_START_LIMIT", "64"), ("WORKER_ADMISSION_ENABLED", "false")]).await;
    place.completes(10).await;
    let before = monitor.scrape().await;
    println!(
        "after 10 runs: {} series, {} bytes, {} KiB resident",
        before.series().len(),
        before.0.len(),
        daemon.resident_kib()
    );
    let deployment = place.pool.command("true").await;
    for _ in 0..runs {
        place.pool.run(deployment).await;
    }
    let wanted = f64::from(u32::try_from(runs).unwrap_or(u32::MAX));
    let all = |now: &Scrape| now.sum("worker_runs_ended_total", &[]) >= wanted;
    let look = async || Some(monitor.scrape().await).filter(all);
    let after = until(Duration::from_hours(1), "all runs to end", look).await;
    println!(
        "after {runs} more: {} series, {} bytes, {} KiB resident",
        after.series().len(),
        after.0.len(),
        daemon.resident_kib()
    );
    for new in after.series().difference(&before.series()) {
        println!("new: {new}");
    }
}

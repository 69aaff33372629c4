//! How many requests and connections a run costs: many short commands, against the API in memory.
//!
//! `cargo run --release -p worker-tests --example requests -- [RUNS]`, after `cargo build --release -p worker`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that cannot go on has failed")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use central_api_wire::state::StateType;
use worker_tests::api::store::Tables;
use worker_tests::api::{ApiOptions, TestApi};
use worker_tests::harness::Lab;

const LONGEST: Duration = Duration::from_mins(10);

#[tokio::main]
async fn main() {
    let runs: usize = std::env::args().nth(1).map_or(1000, |runs| runs.parse().unwrap());
    let api = TestApi::start(ApiOptions::default()).await.unwrap();
    let lab = Lab::new(api.url().as_str());
    let pool = lab.pool().await;
    let deployment = pool.command("true").await;
    for _ in 0..runs {
        pool.run(deployment).await;
    }
    let (requests, connections) = count(&api);
    let begun = Instant::now();
    let mut daemon =
        pool.daemon().env("WORKER_ADMISSION_ENABLED", "false").env("PREFECT_WORKER_QUERY_SECONDS", "10").spawn();
    let complete = |tables: &Tables| {
        let ended = tables.runs().filter(|run| run.state_type() == Some(&StateType::Completed)).count();
        (ended >= runs).then_some(())
    };
    api.store().wait_until("the end of all runs", LONGEST, complete).await.unwrap();
    let took = begun.elapsed();
    daemon.stop().await;
    let (all, opened) = count(&api);
    let mut by_path: BTreeMap<String, usize> = BTreeMap::new();
    api.store().read(|tables| {
        for request in tables.requests().iter().skip(requests) {
            *by_path.entry(format!("{} {}", request.method, shape(&request.path))).or_default() += 1;
        }
    });
    for (path, times) in by_path {
        println!("{:>8.3}  {path}", ratio(times, runs));
    }
    println!("{:>8.3}  requests per run", ratio(all - requests, runs));
    println!("{:>8.3}  connections per run", ratio(usize::try_from(opened - connections).unwrap(), runs));
    println!("{runs} runs in {took:.1?}");
}

fn count(api: &TestApi) -> (usize, u64) {
    api.store().read(|tables| (tables.requests().len(), tables.connections().accepted))
}

fn ratio(times: usize, runs: usize) -> f64 {
    let number = |count: usize| f64::from(u32::try_from(count).unwrap());
    number(times) / number(runs)
}

/// A path without its ids.
fn shape(path: &str) -> String {
    let part = |part: &str| if part.len() == 36 && part.matches('-').count() == 4 { "ID" } else { part }.to_owned();
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

//! How soon a worker that was killed with -9 has its runs back: `cargo run --release -p worker-tests --example restart [RUNS]`,
//! after `cargo build --release -p worker`.
//!
//! Against the API in memory. Prints the time from the exec of the new worker until it has taken over every run, until the
//! API was asked about each, and until the first poll; and what the worker and the supervisors weigh.
#![expect(clippy::print_stdout, reason = "it prints its figures")]

use std::time::{Duration, Instant};

use central_api_wire::state::StateType;
use worker_core::ids::RunId;
use worker_tests::api::{ApiOptions, TestApi};
use worker_tests::harness::{Lab, memory};

/// So long may anything here take.
const BOUND: Duration = Duration::from_secs(180);

#[tokio::main]
async fn main() {
    let runs: usize = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(500);
    let api = TestApi::start(ApiOptions::default()).await.expect("the API in memory starts");
    let lab = Lab::new(api.url().as_str());
    let pool = lab.pool().await;
    let deployment = pool.command("sleep 3600").await;
    let daemon = || pool.daemon().name("measured").env("WORKER_ADMISSION_ENABLED", "false");
    let first = daemon().started().await;
    let mut ids: Vec<RunId> = Vec::new();
    for _ in 0..runs {
        ids.push(pool.run(deployment).await);
    }
    for id in &ids {
        lab.reaches_within(*id, StateType::Running, BOUND).await;
    }
    println!("{runs} runs execute");
    let supervisors = memory::supervisors(first.pid);
    println!("worker before: {}", memory::of(first.pid));
    println!("supervisors, each: {supervisors}");
    let home = first.kill().await;

    let begun = Instant::now();
    let second = daemon().spawn_in(home);
    let status = || second.status();
    let taken_over = until(begun, async || (status().await.is_some_and(|live| live == runs)).then_some(())).await;
    println!("from exec until all {runs} are taken over: {taken_over:?}");
    second.stdout.wait_for(" started!", BOUND).await;
    println!("from exec until the pool is served: {:?}", begun.elapsed());
    println!("worker after: {}", memory::of(second.pid));
    drop(second);
}

async fn until(begun: Instant, mut look: impl AsyncFnMut() -> Option<()>) -> Duration {
    while begun.elapsed() < BOUND {
        if look().await.is_some() {
            return begun.elapsed();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    begun.elapsed()
}

//! How soon a worker that was killed with -9 has its runs back: `cargo run --release -p worker-tests --example restart [RUNS]`,
//! after `cargo build --release -p worker`.
//!
//! Against the API in memory. Prints the time from the exec of the new worker until it has taken over every run, until the
//! API was asked about each, and until the first poll; and what the worker and the supervisors weigh.
#![expect(clippy::print_stdout, reason = "it prints its figures")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use central_api_wire::state::StateType;
use serde_json::Value;
use worker_core::ids::RunId;
use worker_tests::api::{ApiOptions, TestApi};
use worker_tests::harness::{Lab, worker_binary};

/// So long may anything here take.
const BOUND: Duration = Duration::from_mins(3);

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
    println!("worker before: {}", memory(first.pid));
    let supervisors = children(first.pid);
    if let Some(one) = supervisors.get(supervisors.len() / 2) {
        println!("one of {} supervisors: {}", supervisors.len(), memory(*one));
    }
    let home = first.kill().await;

    let state = home.path().join("state");
    let begun = Instant::now();
    let second = daemon().spawn_in(home);
    let mut taken_over = 0;
    while taken_over < runs && begun.elapsed() < BOUND {
        taken_over = live(&state);
    }
    println!("from exec until {taken_over} of {runs} are taken over: {:?}", begun.elapsed());
    second.stdout.wait_for(" started!", BOUND).await;
    println!("from exec until the pool is served: {:?}", begun.elapsed());
    println!("worker after: {}", memory(second.pid));
    drop(second);
}

/// How many runs the daemon of a state directory has.
fn live(state: &Path) -> usize {
    let asked = Command::new(worker_binary()).args(["runs", "--json", "--state-dir"]).arg(state).output();
    let answer: Option<Value> = asked.ok().and_then(|asked| serde_json::from_slice(&asked.stdout).ok());
    answer.map_or(0, |answer| count_ids(&answer))
}

fn count_ids(answer: &Value) -> usize {
    match answer {
        Value::Object(fields) => usize::from(fields.contains_key("id")) + fields.values().map(count_ids).sum::<usize>(),
        Value::Array(items) => items.iter().map(count_ids).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn children(pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let of_thread =
        |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
    threads
        .flat_map(|thread| {
            of_thread(thread).split_ascii_whitespace().filter_map(|child| child.parse().ok()).collect::<Vec<_>>()
        })
        .collect()
}

/// Resident, proportional and private memory of a process.
fn memory(pid: u32) -> String {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let kib = |name: &str| -> u64 {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    let private = kib("Private_Clean:") + kib("Private_Dirty:");
    format!("resident {} KiB, proportional {} KiB, private {private} KiB", kib("Rss:"), kib("Pss:"))
}

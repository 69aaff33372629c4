//! Many runs at once.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use infra_contract::{InfraEvent, InfraPlugin as _};
use kubernetes_bed::{FakeNode, PrivateControlPlane};
use serde_json::{Value, json};
use worker_core::exit::Exit;

use support::{Bench, with_fields};

const RUNS: usize = 2_000;
const AT_ONCE: usize = 500;
/// What limits it is the control plane, which has two processors at most. A quarter of this is enough if it has them alone.
const BOUND: Duration = Duration::from_mins(6);

/// How a run ends that simulated pods carry out.
fn kind(index: usize) -> (Value, Exit) {
    let for_ms = 200 + index % 7 * 300;
    match index % 8 {
        0 => (json!([{"oom": {"for_ms": for_ms}}]), Exit::OutOfMemory),
        1 => (
            json!([{"run": {"for_ms": for_ms, "exit_code": 1}}, {"evict": {"message": "low on memory"}}]),
            Exit::Evicted,
        ),
        2 | 3 => (json!([{"run": {"for_ms": for_ms, "exit_code": 3}}]), Exit::Code(3)),
        _ => (json!([{"run": {"for_ms": for_ms}}]), Exit::Code(0)),
    }
}

/// Launches, watches to the end and cleans up; how it ended, and how many ends were told.
async fn one(bench: &Bench, node: &FakeNode, index: usize) -> (Exit, usize) {
    let (steps, _) = kind(index);
    let spec = with_fields(bench.on_node(node, &steps), &json!({"stream_output": false}));
    let handle = bench.launch(&spec).await.unwrap();
    let mut events = bench.plugin.watch(&handle).await.unwrap();
    let mut ends = Vec::new();
    while let Some(event) = events.next().await {
        if let InfraEvent::Exited(report) = event.unwrap() {
            ends.push(report.exit);
        }
    }
    bench.plugin.cleanup(&handle).await.unwrap();
    (ends[0], ends.len())
}

/// Requests that the API server has served, by verb and resource, as far as the plugin causes them.
async fn requests(bench: &Bench) -> BTreeMap<String, f64> {
    let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
    let text = bench.client.request_text(request).await.unwrap();
    let mut counts = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
        let label =
            |name: &str| line.split_once(&format!("{name}=\"")).and_then(|(_, rest)| rest.split_once('"')).unwrap().0;
        let count = line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap();
        if ["jobs", "pods", "events", "secrets"].contains(&label("resource")) {
            let what = format!("{} {}/{}", label("verb"), label("resource"), label("subresource"));
            *counts.entry(what).or_default() += count;
        }
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn churn_of_two_thousand_jobs() {
    let plane = PrivateControlPlane::start().await;
    let node = plane.fake_node().await;
    let bench = Bench::on(&plane, |settings| settings).await;
    let begun = Instant::now();
    let done = AtomicUsize::new(0);
    let runs = futures::stream::iter(0..RUNS).map(|index| {
        let (bench, node, done) = (&bench, &node, &done);
        async move {
            let ended = one(bench, node, index).await;
            done.fetch_add(1, Ordering::Relaxed);
            (index, ended)
        }
    });
    let mut runs = runs.buffer_unordered(AT_ONCE);
    let mut wrong = Vec::new();
    let all = async {
        while let Some((index, (exit, ends))) = runs.next().await {
            if exit != kind(index).1 || ends != 1 {
                wrong.push((index, exit, ends));
            }
        }
    };
    let in_time = tokio::time::timeout(BOUND, all).await;
    let done = done.load(Ordering::Relaxed);
    println!("{done} runs in {:.1} s; requests by all: {:#?}", begun.elapsed().as_secs_f32(), requests(&bench).await);
    assert_eq!(wrong, []);
    assert!(in_time.is_ok(), "{done} of {RUNS} ended");
    assert_eq!(bench.plugin.owned().await.unwrap(), []);
}

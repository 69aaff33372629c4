//! How much the plugin asks of an API server.

use std::time::Duration;

use infra_contract::InfraPlugin as _;
use kubernetes_api::{PodState, Verb};
use worker_core::spec::RunSpec;

use crate::support::clock::FastClock;
use crate::support::scripted::{Scripted, plain, secretive};

/// The calls of one run from its launch to its cleanup, on a plugin that has had one before.
async fn calls_of(spec: &RunSpec) -> Vec<String> {
    let bench = Scripted::new().await;
    let run = async |spec: &RunSpec| {
        let (mut watched, pod) = bench.start_running(spec).await;
        bench.api.set_pod(&pod, &PodState::Succeeded);
        watched.end().await;
        bench.plugin.cleanup(&watched.handle).await.unwrap();
    };
    run(&plain()).await;
    bench.api.until_watches("jobs", 1).await;
    bench.api.until_watches("pods", 1).await;
    bench.api.forget_requests();
    run(spec).await;
    bench.calls()
}

#[tokio::test]
async fn a_successful_run_takes_four_calls_at_most() {
    let _clock = FastClock::start();
    for spec in [plain(), secretive()] {
        let calls = calls_of(&spec).await;
        assert!(calls.len() <= 4, "{calls:#?}");
    }
}

#[tokio::test]
async fn many_runs_take_calls_by_their_changes_only() {
    const RUNS: usize = 40;
    let clock = FastClock::start();
    let bench = Scripted::new().await;
    // It looks at everything with each change.
    bench.api.garbage_collector(false);
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        runs.push(bench.start(&plain()).await);
    }
    let jobs: Vec<String> = runs.iter().map(|run| run.job().to_owned()).collect();
    for job in &jobs {
        let pod = bench.api.pod_of(job).await;
        bench.api.set_pod(&pod, &PodState::Running);
    }
    for run in &mut runs {
        run.until("it runs", |seen| seen.is_started).await;
    }
    bench.api.forget_requests();
    // While nothing happens nothing is asked but by the watches.
    clock.pass(Duration::from_mins(5)).await;
    assert!(bench.calls().is_empty(), "{:#?}", bench.calls());
    for job in &jobs {
        let pod = bench.api.pods_of(job).pop().unwrap();
        bench.api.set_pod(&pod, &PodState::Succeeded);
    }
    bench.api.forget_requests();
    for run in &mut runs {
        run.end().await;
    }
    assert!(bench.calls().len() <= RUNS, "{}", bench.calls().len());
    assert!(bench.api.open_watches("jobs") <= 1 && bench.api.count(Verb::Watch, "jobs") <= 3);
}

//! How many calls and connections runs cost.

use std::time::Duration;

use central_api_wire::state::StateType;
use worker_tests::api::store::Tables;

use crate::in_memory::InMemory;

const RUNS: usize = 250;
const THEY_TAKE: Duration = Duration::from_mins(3);

fn calls(tables: &Tables, method: &str, path: &str) -> usize {
    let is_one = |path_of: &str| path_of.starts_with(path);
    tables.requests().iter().filter(|request| request.method == method && is_one(&request.path)).count()
}

/// Calls that a machine which is busy makes more of are not counted exactly here: how often a poll is made, or a history is
/// asked for.
#[tokio::test]
async fn runs_of_one_poll_share_what_they_read_and_their_connections() {
    let it = InMemory::start().await;
    let pool = it.lab.pool().await;
    let deployment = pool.command("true").await;
    for _ in 0..RUNS {
        pool.run(deployment).await;
    }
    let connections = it.store().read(|tables| tables.connections().accepted);
    let read = format!("/deployments/{deployment}");
    let read_before = it.store().read(|tables| calls(tables, "GET", &read));
    let daemon = pool.daemon().env("WORKER_ADMISSION_ENABLED", "false");
    // Each poll is a reading.
    let _daemon = daemon.env("PREFECT_WORKER_QUERY_SECONDS", "3600").started().await;
    let complete = |tables: &Tables| {
        let ended = tables.runs().filter(|run| run.state_type() == Some(&StateType::Completed)).count();
        (ended >= RUNS).then_some(())
    };
    it.store().wait_until("the end of all runs", THEY_TAKE, complete).await.unwrap();
    it.store().read(|tables| {
        let opened = tables.connections().accepted - connections;
        assert!(opened <= 60, "{opened} connections for {RUNS} runs");
        let deployments = calls(tables, "GET", &read) - read_before;
        assert!(deployments <= RUNS / 5, "the deployment was read {deployments} times");
        let flows = calls(tables, "GET", "/flows/");
        assert!(flows <= RUNS / 5, "the flow was read {flows} times");
        let looks = calls(tables, "GET", "/flow_runs/");
        assert!(looks <= RUNS / 5, "{looks} runs were read by themselves");
    });
}

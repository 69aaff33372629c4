//! Nothing that hangs elsewhere makes the worker hang, and a machine that is busy is not buried.

use std::time::{Duration, Instant};

use central_api_wire::state::StateType;
use http::Method;
use url::Url;
use worker_tests::faults::{Fault, FaultProxy, Rule};
use worker_tests::harness::SOON;

use crate::in_memory::InMemory;
use crate::marks::Marks;

/// One daemon, two pools, and all that the API is asked about one of them is taken and never answered.
#[tokio::test]
async fn a_pool_that_the_api_never_answers_for_delays_neither_another_nor_its_own_running_runs() {
    let it = InMemory::start().await;
    let (wedged, well, marks) = (it.lab.pool().await, it.lab.pool().await, Marks::new());
    let proxy = FaultProxy::start(&Url::parse(it.lab.api.api_url()).unwrap(), 1).await.unwrap();
    let running = wedged.run(wedged.command(&marks.held_command(0)).await).await;
    let daemon = well.daemon().pool(&wedged.name).env("PREFECT_API_URL", proxy.url().as_str());
    let daemon = daemon.env("PREFECT_API_REQUEST_TIMEOUT", "2");
    let mut daemon = daemon.started().await;
    marks.count(1).await;
    let hole = proxy.add(Rule::on(&format!("/api/work_pools/{}/**", wedged.name), Fault::BlackHole));
    proxy.acted(hole, 1, SOON).await.unwrap();

    let deployment = well.command("true").await;
    let begun = Instant::now();
    for _ in 0..5 {
        it.lab.reaches(well.run(deployment).await, StateType::Completed).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    marks.release();
    it.lab.reaches(running, StateType::Completed).await;
    assert!(daemon.is_running());

    proxy.clear();
    let late = wedged.run(wedged.command("true").await).await;
    it.lab.reaches_within(late, StateType::Completed, SOON * 3).await;
}

/// A question about cancellations that is never answered does not keep the next one waiting for the client's retries.
#[tokio::test]
async fn a_question_that_is_never_answered_is_asked_again_in_time() {
    let it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let proxy = FaultProxy::start(&Url::parse(it.lab.api.api_url()).unwrap(), 1).await.unwrap();
    proxy.add(Rule::on("/api/events/out", Fault::RefuseUpgrade));
    let run = pool.run(pool.command(&marks.endless_command()).await).await;
    let _daemon = pool.daemon().env("PREFECT_API_URL", proxy.url().as_str()).started().await;
    marks.count(1).await;
    it.lab.reaches(run, StateType::Running).await;
    let hole = proxy.add(Rule::on("/api/flow_runs/filter", Fault::BlackHole).method(Method::POST).times(1));
    proxy.acted(hole, 1, SOON).await.unwrap();
    it.lab.cancel(run).await;
    it.lab.reaches_within(run, StateType::Cancelled, SOON * 2).await;
}

#[tokio::test]
async fn runs_beyond_the_rate_stay_scheduled_until_their_turn() {
    let it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let deployment = pool.command(&marks.command("ran")).await;
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(pool.run(deployment).await);
    }
    let begun = Instant::now();
    let daemon = pool.daemon().env("WORKER_ADMISSION_STARTS_PER_SECOND", "1").started().await;
    marks.count(1).await;
    assert_eq!(it.lab.history(runs[3]).await, ["Scheduled"], "a run that is held was claimed");
    daemon.stderr.wait_for("due runs have to wait", SOON).await;
    for run in runs {
        it.lab.reaches(run, StateType::Completed).await;
    }
    assert!(begun.elapsed() >= Duration::from_secs(3), "{:?}", begun.elapsed());
}

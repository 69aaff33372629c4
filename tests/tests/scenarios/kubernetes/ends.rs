//! Runs that are ended from outside: cancelled, evicted, cleaned up after.

use std::time::Duration;

use central_api_wire::channel::CLEANUP_CANCELLING_TIMEOUT;
use central_api_wire::state::StateType;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, json};
use worker_core::ids::RunId;
use worker_tests::api::model::{CleanupProgress, CleanupRequest};
use worker_tests::harness::run_resource;

use super::foreign::job_of_prefect;
use super::{Bed, run_with};

#[tokio::test]
async fn c110_a_command_is_cancelled_with_its_pod() {
    let bed = Bed::new().await;
    let run = bed.command(&bed.marks.endless_command()).await;
    let _daemon = bed.daemon().started().await;
    bed.it.lab.reaches(run, StateType::Running).await;
    bed.marks.count(1).await;
    bed.it.lab.cancel(run).await;
    bed.it.lab.reaches(run, StateType::Cancelled).await;
    bed.nothing_is_left(run).await;
    assert_eq!(bed.it.lab.history(run).await.last().unwrap(), "Cancelled");
}

#[tokio::test]
async fn a_run_whose_image_cannot_be_had_is_cancelled_while_it_waits() {
    let bed = Bed::new().await;
    let more = json!({"image": "worker-test/none-such:1", "image_pull_policy": "Never"});
    let run = run_with(&bed.pool, &more).await;
    let _daemon = bed.daemon().env("PREFECT_WORKER_ENABLE_CANCELLATION", "true").started().await;
    bed.it
        .lab
        .until("the run to be announced as waiting", async || {
            bed.it.lab.history(run).await.contains(&"InfrastructurePending".to_owned()).then_some(())
        })
        .await;
    bed.it.lab.logged(run, "none-such").await;
    bed.it.lab.cancel(run).await;
    bed.it.lab.reaches(run, StateType::Cancelled).await;
    bed.nothing_is_left(run).await;
}

/// Prefect's engine in a pod that is ended sets its run back before it goes.
#[tokio::test]
async fn c114_a_run_that_was_set_back_from_inside_is_not_crashed_by_the_eviction_of_its_pod() {
    let bed = Bed::new().await;
    let node = bed.cluster.fake_node().await;
    let script = json!([{"run": {"for_ms": 4000, "exit_code": 143}}, {"evict": {}}]);
    let pool = bed.scripted(&node, &script).await;
    let run = run_with(&pool, &json!({})).await;
    let _daemon = bed.daemon_of(&pool).started().await;
    let lab = &bed.it.lab;
    lab.until("a running pod", async || {
        lab.api.events("prefect.kubernetes.pod.running", &run_resource(run)).await.pop()
    })
    .await;
    bed.puts(run, json!({"type": "RUNNING"})).await;
    let later = Timestamp::now() + SignedDuration::from_hours(1);
    bed.puts(run, json!({"type": "SCHEDULED", "name": "AwaitingRetry", "state_details": {"scheduled_time": later}}))
        .await;
    bed.nothing_is_left(run).await;
    let history = lab.history(run).await;
    assert_eq!(history.last().unwrap(), "AwaitingRetry");
    assert!(!history.contains(&"Crashed".to_owned()), "{history:?}");
}

/// Whoever is handed the message ends the Job by its name, though another worker made it.
#[tokio::test]
async fn the_job_of_a_run_that_nobody_cancelled_in_time_is_ended_by_any_worker() {
    let bed = Bed::new().await;
    let node = bed.cluster.fake_node().await;
    let run = bed.command("true").await;
    bed.puts(run, json!({"type": "RUNNING"})).await;
    bed.puts(run, json!({"type": "CANCELLED"})).await;
    bed.create(job_of_prefect(run, "left-behind", node.name(), &json!([{"hang": {}}]))).await;
    let _daemon = bed.daemon().started().await;
    let lost = RunId(uuid::Uuid::new_v4());
    for (run, name) in [(run, "left-behind"), (lost, "none-such")] {
        let pid = format!("{}:{name}", bed.namespace.name());
        let target = json!({"flow_run_id": run, "infrastructure_pid": pid});
        let request = CleanupRequest {
            kind: CLEANUP_CANCELLING_TIMEOUT.to_owned(),
            target: target.as_object().unwrap().clone(),
            data: Map::new(),
            work_queue_id: None,
        };
        let message = bed.it.store().enqueue_cleanup(&bed.pool.name, request).unwrap();
        let is_over = |progress: &CleanupProgress| {
            matches!(progress, CleanupProgress::Acknowledged | CleanupProgress::DeadLettered)
        };
        let cleanup = bed.it.store().wait_until("the end of a clean-up", Duration::from_mins(1), |tables| {
            tables.cleanup(message).filter(|cleanup| is_over(&cleanup.progress)).cloned()
        });
        let cleanup = cleanup.await.unwrap();
        assert_eq!(cleanup.progress, CleanupProgress::Acknowledged, "{name}: {:?}", cleanup.operations);
    }
    bed.nothing_is_left(run).await;
    assert_eq!(bed.it.lab.history(run).await.last().unwrap(), "Cancelled");
}

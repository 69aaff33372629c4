//! Clean-ups that the server hands over: runs whose cancellation nobody finished in time.

use std::time::Duration;

use central_api_wire::channel::CLEANUP_CANCELLING_TIMEOUT;
use central_api_wire::state::StateType;
use serde_json::{Map, Value, json};
use url::Url;
use uuid::Uuid;
use worker_core::ids::RunId;
use worker_tests::api::ApiOptions;
use worker_tests::api::model::{Cleanup, CleanupProgress, CleanupRequest};
use worker_tests::faults::{Fault, FaultProxy, Rule};
use worker_tests::harness::{LabPool, SOON, until};

use crate::in_memory::InMemory;
use crate::marks::Marks;

/// A message of the cancelling-timeout kind.
fn request(run: RunId, infrastructure: Option<&str>) -> CleanupRequest {
    let target = json!({"flow_run_id": run, "infrastructure_pid": infrastructure, "of_a_newer_server": 1});
    CleanupRequest {
        kind: CLEANUP_CANCELLING_TIMEOUT.to_owned(),
        target: target.as_object().unwrap().clone(),
        data: Map::new(),
        work_queue_id: None,
    }
}

impl InMemory {
    /// A server that hands out a message once.
    async fn lending_once(lease: Duration) -> Self {
        Self::with(ApiOptions { cleanup_lease: lease, cleanup_attempts: 1, ..ApiOptions::default() }).await
    }

    fn hand_out(&self, pool: &LabPool, request: CleanupRequest) -> Uuid {
        self.store().enqueue_cleanup(&pool.name, request).unwrap()
    }

    /// Waits until a message is done or given up.
    async fn settled(&self, message: Uuid) -> Cleanup {
        self.wait("the end of a clean-up", |tables| {
            let cleanup = tables.cleanup(message)?;
            matches!(cleanup.progress, CleanupProgress::Acknowledged | CleanupProgress::DeadLettered)
                .then(|| cleanup.clone())
        })
        .await
    }

    /// Waits until a message is given back, and returns why.
    async fn refused(&self, message: Uuid) -> String {
        let cleanup = self.settled(message).await;
        assert_eq!(cleanup.progress, CleanupProgress::DeadLettered);
        cleanup.operations[0].reason.clone().unwrap()
    }

    async fn infrastructure(&self, run: RunId) -> String {
        self.lab.until("infrastructure_pid", async || self.lab.run(run).await.infrastructure_pid).await
    }
}

fn said(cleanup: &Cleanup) -> Vec<&str> {
    cleanup.operations.iter().map(|operation| operation.operation.as_str()).collect()
}

/// Neither the stream of cancellations nor the questions for them get through: the message is all that the worker hears.
#[tokio::test]
async fn c032_the_infrastructure_of_a_run_that_nobody_cancelled_in_time_is_stopped() {
    let it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let proxy = FaultProxy::start(&Url::parse(it.lab.api.api_url()).unwrap(), 1).await.unwrap();
    proxy.add(Rule::on("/api/events/out", Fault::RefuseUpgrade));
    let run = pool.run(pool.command(&marks.endless_command()).await).await;
    let daemon = pool.daemon().env("PREFECT_API_URL", proxy.url().as_str()).started().await;
    marks.count(1).await;
    it.lab.reaches(run, StateType::Running).await;
    it.infrastructure(run).await;
    proxy.add(Rule::on("/api/flow_runs/filter", Fault::status(500)));
    it.store().cancel_run(run).unwrap();
    let message = it.store().time_out_cancellation(run).unwrap().unwrap();
    let cleanup = it.settled(message).await;
    assert_eq!(cleanup.progress, CleanupProgress::Acknowledged);
    until(SOON, "the end of its processes", async || daemon.offspring().is_empty().then_some(())).await;
    assert_eq!(it.lab.history(run).await[3..], ["Running", "Cancelling", "Cancelled"], "states are not its business");
}

#[tokio::test]
async fn c031_the_process_kind_takes_clean_ups_and_one_about_what_is_gone_is_done() {
    let it = InMemory::lending_once(Duration::from_secs(30)).await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let _daemon = pool.daemon().started().await;
    let deleted = it.hand_out(&pool, request(RunId(Uuid::new_v4()), Some("7")));
    assert_eq!(said(&it.settled(deleted).await), ["ack"]);

    let over = pool.run(pool.command(&marks.command("ran")).await).await;
    it.lab.reaches(over, StateType::Completed).await;
    it.lab.executed(over).await;
    let infrastructure = it.infrastructure(over).await;
    let ended_here = it.hand_out(&pool, request(over, Some(&infrastructure)));
    assert_eq!(said(&it.settled(ended_here).await), ["ack"]);
    assert_eq!(it.lab.history(over).await.last().unwrap(), "Completed");
}

#[tokio::test]
async fn what_cannot_be_cleaned_up_here_is_given_back_with_the_reason() {
    let it = InMemory::lending_once(Duration::from_secs(30)).await;
    let pool = it.lab.pool().await;
    let elsewhere = pool.run(pool.command("true").await).await;
    it.lab.cancel(elsewhere).await;
    let _daemon = pool.daemon().started().await;
    let unnamed = it.hand_out(&pool, request(elsewhere, None));
    assert_eq!(said(&it.settled(unnamed).await), ["ack"], "it never had any infrastructure");

    let foreign = it.hand_out(&pool, request(elsewhere, Some("4194304")));
    assert_eq!(it.refused(foreign).await, "infrastructure_not_available");

    let over = pool.run(pool.command("true").await).await;
    it.lab.reaches(over, StateType::Completed).await;
    it.lab.executed(over).await;
    let unnamed = it.hand_out(&pool, request(over, None));
    assert_eq!(it.refused(unnamed).await, "missing_infrastructure_handle");

    let mut garbled = request(elsewhere, None);
    garbled.target.insert("flow_run_id".to_owned(), Value::Null);
    assert_eq!(it.refused(it.hand_out(&pool, garbled)).await, "unexpected_payload_kind");
}

/// It takes longer to stop than the server lends the message for.
#[tokio::test]
async fn a_message_is_kept_while_the_infrastructure_is_being_stopped() {
    let it = InMemory::lending_once(Duration::from_secs(2)).await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let stubborn = marks.shell("trap : TERM; echo started >> marks; while :; do sleep 0.1; done");
    let run = pool.run(pool.command(&stubborn).await).await;
    let daemon = pool.daemon().env("WORKER_PROCESS_KILL_GRACE_SECONDS", "4").started().await;
    marks.count(1).await;
    it.lab.reaches(run, StateType::Running).await;
    let infrastructure = it.infrastructure(run).await;
    let message = it.hand_out(&pool, request(run, Some(&infrastructure)));
    let cleanup = it.settled(message).await;
    let said = said(&cleanup);
    assert_eq!((said.first(), said.last()), (Some(&"renew"), Some(&"ack")), "{said:?}");
    assert!(cleanup.operations.iter().all(|operation| operation.status == "accepted"));
    until(SOON, "the end of its processes", async || daemon.offspring().is_empty().then_some(())).await;
}

#[tokio::test]
async fn c034_a_clean_up_needs_no_free_slot() {
    let it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let run = pool.run(pool.command(&marks.held_command(0)).await).await;
    let _daemon = pool.daemon().args(["--limit", "1"]).started().await;
    marks.count(1).await;
    let message = it.hand_out(&pool, request(RunId(Uuid::new_v4()), Some("7")));
    assert_eq!(it.settled(message).await.progress, CleanupProgress::Acknowledged);
    marks.release();
    it.lab.reaches(run, StateType::Completed).await;
}

//! A round against a real Prefect server.

use worker_tests::chaos::{Arena, Plan, play};
use worker_tests::harness::PrefectServer;

#[tokio::test]
async fn a_round_is_survived() {
    let server = PrefectServer::on_postgres().await;
    let plan = Plan::seeded(1).with_runs(6);
    play(&Arena::on_server(&server, 1).await, &plan).await.expect_no_violation(&plan);
}

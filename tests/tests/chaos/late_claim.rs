//! A claim that is on its way for so long that another worker has executed the run meanwhile.

use std::time::Duration;

use central_api_wire::state::StateType;
use http::Method;
use url::Url;
use worker_tests::api::{ApiOptions, TestApi};
use worker_tests::faults::{Fault, FaultProxy, Rule};
use worker_tests::harness::{Lab, SOON};

/// Longer than the other worker takes to start and to execute the run.
const ON_ITS_WAY: Duration = Duration::from_secs(4);

/// The server takes Pending for a run that has failed: it could be the begin of a new try.
#[tokio::test]
async fn a_claim_that_arrives_after_the_end_of_the_run_starts_nothing() {
    let api = TestApi::start(ApiOptions::default()).await.unwrap();
    let lab = Lab::new(api.url().as_str());
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record");
    let pool = lab.pool().await;
    let command = format!("sh -c 'echo executed >> {}; exit 3'", record.display());
    let run = pool.run(pool.command(&command).await).await;
    let path = format!("/flow_runs/{run}/set_state");
    let proxy = FaultProxy::start(&Url::parse(lab.api.api_url()).unwrap(), 1).await.unwrap();
    let slow = proxy.add(Rule::on(&format!("/api{path}"), Fault::Delay(ON_ITS_WAY)).method(Method::POST).times(1));

    let _late = pool.daemon().name("late").env("PREFECT_API_URL", proxy.url().as_str()).started().await;
    proxy.acted(slow, 1, SOON).await.unwrap();
    let _other = pool.daemon().name("other").started().await;
    lab.reaches(run, StateType::Failed).await;
    let proposed = || api.store().read(|tables| tables.requests_to("POST", &path).count());
    let before = proposed();
    lab.until("the late claim", async || (proposed() > before).then_some(())).await;
    pool.polled("default", 4).await;

    lab.reaches(run, StateType::Failed).await;
    let executed = fs_err::read_to_string(&record).unwrap();
    assert_eq!(executed, "executed\n", "{:?}", lab.history(run).await);
}

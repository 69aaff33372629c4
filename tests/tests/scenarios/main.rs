//! Scenarios: the built worker against an API, from the outside.
//!
//! A scenario is a function of a [`Lab`](worker_tests::harness::Lab). Each runs as a test of its own on the API in memory
//! (`on_test_api`), and many run again on a real Prefect server, several in one lane because such a server is slow to
//! start. Those named `c…` cover that item of the conformance checklist.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

/// Makes a test on the API in memory of each scenario.
macro_rules! on_test_api {
    ($($scenario:ident),+ $(,)?) => {
        mod on_test_api {
            $(#[tokio::test]
            async fn $scenario() {
                let api = worker_tests::api::TestApi::start(Default::default()).await.unwrap();
                super::$scenario(&worker_tests::harness::Lab::new(api.url().as_str())).await;
            })+
        }
    };
}

mod alerts;
mod bad_input;
mod cancellation;
mod cli;
mod crash_proof;
mod deployment;
mod docker;
mod doctor;
mod faults;
mod in_memory;
mod isolation;
mod kubernetes;
mod lifecycle;
mod many_pools;
mod marks;
mod monitoring;
mod never_wedged;
mod operator;
mod polling;
mod process;
mod quickstart;
mod real_server;
mod redaction;
mod render;
mod sdk;
mod shadow;
mod submission;
mod teardown;
mod unusable;
mod workspaces;

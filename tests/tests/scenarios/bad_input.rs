//! Input that is wrong or odd: said clearly, in the right place, and without harm to anything else.

use central_api_wire::state::StateType;
use serde_json::{Map, json};
use worker_tests::harness::{DaemonSpec, DeploymentSpec, Finished, Lab, process_template};

use crate::in_memory::InMemory;

/// The worker must end with an error that says all of `words`, before it says that it has started.
fn refused(ended: &Finished, words: &[&str]) {
    assert!(!ended.status.success(), "{}", ended.stdout);
    assert!(!ended.stdout.contains("started!"), "{}", ended.stdout);
    for word in words {
        assert!(ended.stderr.contains(word), "no {word:?} in\n{}", ended.stderr);
    }
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

#[tokio::test]
async fn values_of_flags_that_cannot_be_used_are_named() {
    let it = InMemory::start().await;
    let start = || it.lab.daemon().pool("p");
    refused(&start().args(["--limit", "-1"]).finish().await, &["limit", "-1"]);
    refused(&start().args(["--limit", "0"]).finish().await, &["limit"]);
    refused(&start().args(["--limit", "99999999999999999999999"]).finish().await, &["limit"]);
    refused(&start().args(["--prefetch-seconds", "-5"]).finish().await, &["prefetch", "-5"]);
    refused(&start().args(["--prefetch-seconds", "soon"]).finish().await, &["prefetch", "soon"]);
    refused(&start().args(["--type", "no-such-type"]).finish().await, &["no-such-type"]);
    refused(&start().args(["--no-such-flag"]).finish().await, &["--no-such-flag"]);
    refused(&DaemonSpec::start("http://127.0.0.1:1/api").finish().await, &["pool"]);
}

#[tokio::test]
async fn values_of_settings_that_cannot_be_used_are_named() {
    let it = InMemory::start().await;
    for (name, value) in [
        ("PREFECT_WORKER_QUERY_SECONDS", "often"),
        ("PREFECT_WORKER_HEARTBEAT_SECONDS", "-3"),
        ("WORKER_PROCESS_KILL_GRACE_SECONDS", "forever"),
        ("PREFECT_API_URL", "not an address"),
    ] {
        refused(&it.lab.daemon().pool("p").env(name, value).finish().await, &[name]);
    }
}

#[tokio::test]
async fn a_template_file_that_cannot_be_used_is_named() {
    let it = InMemory::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("template.json");
    let start = || it.lab.daemon().pool("p").arg("--base-job-template").arg(&file);
    refused(&start().finish().await, &["template.json"]);
    for content in ["{not json", "[]", "\"text\"", ""] {
        fs_err::write(&file, content).unwrap();
        refused(&start().finish().await, &["template.json"]);
    }
    assert!(it.store().pool("p").is_none(), "the pool was made all the same");
}

pub(crate) async fn odd_names_of_pools_are_served(lab: &Lab) {
    let long = "x".repeat(200);
    for name in ["Größe 漢字", "with space", "dots.and-dashes_", "q?=#+", &long] {
        let name = lab.fresh_name(name);
        let _daemon = lab.daemon().pool(&name).args(["--type", "process", "--name", "Wörker 1"]).started().await;
        lab.until(format!("the pool {name}"), async || {
            lab.api.pool(&name).await.filter(|pool| !pool.base_job_template.is_empty())
        })
        .await;
        let pool = lab.pool_named(&name).await;
        let run = pool.run(pool.command("true").await).await;
        lab.reaches(run, StateType::Completed).await;
    }
}

/// A template that cannot be resolved concerns the runs that use it. The worker goes on, and once the template is put
/// right so do the runs.
pub(crate) async fn a_broken_template_crashes_its_runs_until_it_is_mended(lab: &Lab) {
    for broken in [
        json!({"job_configuration": {"command": ["not", "a", "string"]}, "variables": {"type": "object", "properties": {}}}),
        json!({"job_configuration": {"labels": {"a": 1}}, "variables": {"properties": {}}}),
        json!({"job_configuration": {"env": "text"}, "variables": {"properties": {}}}),
    ] {
        let pool = lab.pool_with(broken.as_object().unwrap().clone()).await;
        let deployment = pool.deployment(DeploymentSpec::default()).await;
        let mut daemon = pool.daemon().started().await;
        let state = lab.reaches(pool.run(deployment).await, StateType::Crashed).await;
        let message = state.message.unwrap();
        assert!(message.starts_with("Failed to submit flow run to infrastructure: "), "{message}");

        lab.api.update_pool(&pool.name, json!({"base_job_template": process_template()})).await;
        let mended = pool.command("true").await;
        let deadline = tokio::time::Instant::now() + lab.patience;
        while lab.ends(pool.run(mended).await, lab.patience).await.state_type != StateType::Completed {
            assert!(tokio::time::Instant::now() < deadline, "the mended template is not used");
        }
        assert!(daemon.is_running());
    }
}

/// Values of any size are carried or refused, and never bring the worker down.
pub(crate) async fn oversized_values_do_no_harm(lab: &Lab) {
    let pool = lab.pool().await;
    let mut daemon = pool.daemon().started().await;
    let huge = "x".repeat(300_000);
    let variables = [
        json!({"command": "true", "report_state": "worker", "env": {"HUGE": huge}}),
        json!({"command": format!("echo {huge}"), "report_state": "worker"}),
        json!({"command": "true", "report_state": "worker", "name": huge}),
    ];
    for job_variables in variables {
        let job_variables: Map<_, _> = job_variables.as_object().unwrap().clone();
        let run = pool.run(pool.deployment(DeploymentSpec { job_variables, ..DeploymentSpec::default() }).await).await;
        lab.ends(run, lab.patience).await;
    }
    lab.reaches(pool.run(pool.command("true").await).await, StateType::Completed).await;
    assert!(daemon.is_running());
}

on_test_api![
    odd_names_of_pools_are_served,
    a_broken_template_crashes_its_runs_until_it_is_mended,
    oversized_values_do_no_harm,
];

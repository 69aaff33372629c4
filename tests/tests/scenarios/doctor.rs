//! `worker doctor`: what it finds, what it says to do, and that it changes nothing.

use std::net::TcpListener;

use serde_json::{Value, json};
use worker_tests::api::{ApiOptions, TestApi};
use worker_tests::harness::{DaemonSpec, DeploymentSpec, Finished, Lab, repository_of, workspace_root};

use crate::in_memory::InMemory;

/// `worker doctor --json` against an API, with a Python that is there.
fn doctor(lab: &Lab) -> DaemonSpec {
    DaemonSpec::bare().with_python().env("PREFECT_API_URL", lab.api.api_url()).args(["doctor", "--json"])
}

/// The findings of the check of this name.
fn findings(done: &Finished, name: &str) -> Vec<Value> {
    let checks: Vec<Value> = serde_json::from_str(&done.stdout).unwrap_or_default();
    let check = checks.iter().find(|check| check["name"] == name);
    assert!(check.is_some(), "no {name} in {}{}", done.stdout, done.stderr);
    check.unwrap()["findings"].as_array().unwrap().clone()
}

/// The check must have a finding of this severity whose message and hint have these words.
fn has(done: &Finished, name: &str, severity: &str, words: &[&str]) {
    let found = findings(done, name);
    let fits = |found: &Value| {
        let text = format!("{} {}", found["message"], found["hint"]);
        found["severity"] == severity && words.iter().all(|word| text.contains(word))
    };
    assert!(found.iter().any(fits), "no {severity} with {words:?} in {found:#?}");
}

#[tokio::test]
async fn a_pool_that_can_be_served_is_well_and_nothing_was_changed() {
    let it = InMemory::start().await;
    let pool = it.lab.pool().await;
    let before = it.store().read(|tables| tables.requests().len());
    let done = doctor(&it.lab).args(["--pool", &pool.name]).finish().await;
    assert_eq!(done.status.code(), Some(0), "{}{}", done.stdout, done.stderr);
    for (check, word) in [
        ("api", "answered in"),
        ("clock", "agree"),
        ("login", "no credentials"),
        ("server", "3.8.0"),
        ("events", "heard of at once"),
        ("state directory", "can be written"),
        ("process", "Prefect SDK 3."),
    ] {
        has(&done, check, "ok", &[word]);
    }
    let of_pool = format!("pool {}", pool.name);
    has(&done, &of_pool, "ok", &["exists, with type process"]);
    has(&done, &of_pool, "ok", &["base job template is valid"]);
    has(&done, &format!("channel of pool {}", pool.name), "ok", &["open"]);

    let reads = |method: &str, path: &str| method == "GET" || path.ends_with("/filter");
    it.store().read(|tables| {
        for request in &tables.requests()[before..] {
            assert!(reads(&request.method, &request.path), "{} {}", request.method, request.path);
        }
    });
    assert!(it.lab.api.workers(&pool.name).await.is_empty(), "doctor counts as a worker");
}

#[tokio::test]
async fn text_has_a_line_for_each_finding_and_how_long_it_took() {
    let it = InMemory::start().await;
    let pool = it.lab.pool().await;
    let spec = DaemonSpec::bare().with_python().env("PREFECT_API_URL", it.lab.api.api_url());
    let done = spec.args(["doctor", "--pool", &pool.name]).finish().await;
    assert!(done.stdout.starts_with("ok       api: http://127.0.0.1:"), "{}", done.stdout);
    let last = done.stdout.lines().last().unwrap();
    assert!(last.contains(" checks in ") && last.ends_with(" s"), "{last}");
}

#[tokio::test]
async fn a_pool_that_is_paused_or_missing_is_said_with_the_command_that_helps() {
    let it = InMemory::start().await;
    let pool = it.lab.pool().await;
    it.lab.api.update_pool(&pool.name, json!({"is_paused": true})).await;
    it.lab.api.create_queue(&pool.name, "slow", 2).await;
    it.lab.api.update_queue(&pool.name, "slow", json!({"is_paused": true})).await;
    let paused = doctor(&it.lab).args(["--pool", &pool.name]).finish().await;
    assert_eq!(paused.status.code(), Some(0), "a warning is no error: {}", paused.stdout);
    let name = format!("pool {}", pool.name);
    has(&paused, &name, "warning", &["is paused", "prefect work-pool resume"]);
    has(&paused, &name, "warning", &["queue 'slow' is paused", "prefect work-queue resume"]);

    let queue = doctor(&it.lab).args(["--pool", &pool.name]).env("WORKER_START_WORK_QUEUE", "fast").finish().await;
    assert_eq!(queue.status.code(), Some(1), "{}", queue.stdout);
    has(&queue, &name, "error", &["no queue 'fast'", "slow", "prefect work-queue create"]);

    let missing = doctor(&it.lab).args(["--pool", "nowhere", "--kind", "process"]);
    let made = missing.clone().finish().await;
    has(&made, "pool nowhere", "warning", &["`worker start` makes it", &pool.name]);
    let not_made = missing.env("WORKER_START_CREATE_POOL_IF_NOT_FOUND", "false").finish().await;
    assert_eq!(not_made.status.code(), Some(1), "{}", not_made.stdout);
    has(&not_made, "pool nowhere", "error", &["does not exist", "prefect work-pool create"]);
}

#[tokio::test]
async fn a_template_that_no_run_could_use_is_an_error() {
    let it = InMemory::start().await;
    for (template, word) in [
        (json!({"job_configuration": {"env": "text"}, "variables": {"properties": {}}}), "env"),
        (
            json!({"job_configuration": {"command": "{{ prefect.blocks.secret.gone }}"}, "variables": {}}),
            "block `gone` of type `secret` does not exist",
        ),
    ] {
        let pool = it.lab.pool_with(template.as_object().unwrap().clone()).await;
        let done = doctor(&it.lab).args(["--pool", &pool.name]).finish().await;
        assert_eq!(done.status.code(), Some(1), "{}", done.stdout);
        has(&done, &format!("pool {}", pool.name), "error", &["base job template", word]);
    }
}

#[tokio::test]
async fn credentials_that_are_refused_or_missing_are_told_apart() {
    let options = ApiOptions { auth_string: Some("me:right".into()), csrf: true, ..ApiOptions::default() };
    let api = TestApi::start(options).await.unwrap();
    let lab = Lab::new(api.url().as_str());
    let process = || doctor(&lab).args(["--kind", "process"]);
    let missing = process().finish().await;
    assert_eq!(missing.status.code(), Some(1), "{}", missing.stdout);
    has(&missing, "login", "error", &["wants credentials", "PREFECT_API_AUTH_STRING"]);
    let wrong = process().env("PREFECT_API_AUTH_STRING", "me:canary-77").finish().await;
    has(&wrong, "login", "error", &["not accepted"]);
    assert!(!wrong.stdout.contains("canary-77"), "{}", wrong.stdout);
    let right = process().env("PREFECT_API_AUTH_STRING", "me:right").finish().await;
    assert_eq!(right.status.code(), Some(0), "{}", right.stdout);
    has(&right, "login", "ok", &["accepts"]);
    has(&right, "events", "ok", &["heard of at once"]);
}

#[tokio::test]
async fn without_an_api_the_machine_is_looked_at_all_the_same() {
    // Taken and let go: nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let spec = DaemonSpec::bare().with_python().args(["doctor", "--json", "--kind", "process"]);
    let away = spec.clone().env("PREFECT_API_URL", format!("http://127.0.0.1:{port}/api")).finish().await;
    assert_eq!(away.status.code(), Some(1), "{}", away.stdout);
    has(&away, "api", "error", &["could not be reached", "PREFECT_API_URL"]);
    has(&away, "process", "ok", &["Prefect SDK"]);

    let none = spec.clone().finish().await;
    assert_eq!(none.status.code(), Some(1), "{}", none.stdout);
    has(&none, "api", "error", &["PREFECT_API_URL"]);

    let local = spec.arg("--local").finish().await;
    assert_eq!(local.status.code(), Some(0), "{}", local.stdout);
    assert!(!local.stdout.contains("\"api\""), "{}", local.stdout);
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_said() {
    let it = InMemory::start().await;
    let url = it.lab.api.api_url().replace("http://", "https://");
    let done = doctor(&it.lab).args(["--kind", "process"]).env("PREFECT_API_URL", url).finish().await;
    assert_eq!(done.status.code(), Some(1), "{}", done.stdout);
    has(&done, "api", "error", &["does not speak TLS", "http://"]);
}

#[tokio::test]
async fn a_proxy_in_front_of_an_api_on_this_machine_is_said() {
    let it = InMemory::start().await;
    let proxied = doctor(&it.lab).args(["--kind", "process"]).env("HTTP_PROXY", "http://me:canary-9@127.0.0.1:1");
    let done = proxied.finish().await;
    has(&done, "proxy", "warning", &["http://127.0.0.1:1 is used", "NO_PROXY"]);
    has(&done, "api", "error", &["through the proxy http://127.0.0.1:1"]);
    assert!(!done.stdout.contains("canary-9"), "{}", done.stdout);
}

#[tokio::test]
async fn the_code_of_a_deployment_is_looked_at_and_not_brought() {
    let it = InMemory::start().await;
    let repository = tempfile::tempdir().unwrap();
    let address = repository_of(&workspace_root().join("tests/flows"), repository.path());
    let pool = it.lab.pool().await;
    for (branch, severity, code, word) in
        [("main", "ok", 0, "has branch `main` at "), ("gone", "error", 1, "does not have")]
    {
        let spec = DeploymentSpec {
            pull_steps: Some(
                json!([{"prefect.deployments.steps.git_clone": {"repository": address, "branch": branch}}]),
            ),
            entrypoint: Some("flows.py:succeeds".to_owned()),
            ..DeploymentSpec::default()
        };
        let deployment = pool.deployment(spec).await.to_string();
        let done = doctor(&it.lab).args(["--deployment", &deployment]).finish().await;
        assert_eq!(done.status.code(), Some(code), "{}", done.stdout);
        has(&done, &format!("code of {deployment}"), severity, &["git_clone: ", word]);
        has(&done, &format!("pool {}", pool.name), "ok", &["exists, with type process"]);
    }
    let unknown = doctor(&it.lab).args(["--deployment", "no/such", "--kind", "process"]).finish().await;
    assert_eq!(unknown.status.code(), Some(1), "{}", unknown.stdout);
    has(&unknown, "code of no/such", "error", &["does not exist"]);
}

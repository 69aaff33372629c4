//! What is secret does not stand in what the cluster shows, and reaches the pod all the same.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::BTreeMap;

use infra_contract::InfraPlugin as _;
use infra_kubernetes::{KubernetesSettings, SecretKeyRef, Secrets};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use worker_core::exit::Exit;
use worker_core::handle::Handle;
use worker_core::spec::RunSpec;

use support::{Bench, Seen, job_name, secret_name, with_env};

const API_KEY: &str = "pnu_canary0123456789abcdef";
const AUTH: &str = "admin:canary-auth-string";
const HEADERS: &str = r#"{"X-Token": "canary-header"}"#;
const BLOCK: &str = "canary-of-a-block";
const PASSWORD: &str = "canary-password $HOME";
const URL: &str = "postgres://user:canary-in-url@db/x";
const VARIABLES: [(&str, &str); 6] = [
    ("PREFECT_API_KEY", API_KEY),
    ("PREFECT_API_AUTH_STRING", AUTH),
    ("PREFECT_CLIENT_CUSTOM_HEADERS", HEADERS),
    ("FROM_BLOCK", BLOCK),
    ("DB_PASSWORD", PASSWORD),
    ("DATABASE", URL),
];

/// A run that prints what it got, as hashes.
fn spec(bench: &Bench) -> RunSpec {
    let names = VARIABLES.map(|(name, _)| name).join(" ");
    let script = format!(
        r#"for name in {names}; do eval "value=\${{$name}}"; echo "$name=$(printf %s "$value" | sha256sum | cut -d' ' -f1)"; done
        echo "PLAIN=$PLAIN"; exit 1"#
    );
    let mut spec = with_env(bench.script(&script), &VARIABLES);
    spec = with_env(spec, &[("PLAIN", "visible")]);
    spec.block_texts.insert(BLOCK.to_owned());
    spec
}

fn received(seen: &Seen) -> BTreeMap<&str, &str> {
    seen.output.lines().filter_map(|line| line.split_once('=')).collect()
}

fn expected(seen: &Seen) {
    let received = received(seen);
    for (name, value) in VARIABLES {
        let hash: Vec<String> = Sha256::digest(value).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(received.get(name).copied(), Some(hash.concat().as_str()), "{name}: {seen:#?}");
    }
    assert_eq!(received["PLAIN"], "visible");
}

/// Everything but Secrets that the API server has in a namespace.
async fn shown(bench: &Bench) -> String {
    let mut all = String::new();
    for path in ["apis/batch/v1", "api/v1", "apis/apps/v1"] {
        let listed: Value =
            bench.client.request(http::Request::get(format!("/{path}")).body(Vec::new()).unwrap()).await.unwrap();
        for resource in listed["resources"].as_array().unwrap() {
            let name = resource["name"].as_str().unwrap();
            let is_listed = resource["verbs"].as_array().unwrap().contains(&json!("list"));
            if name == "secrets" || !is_listed || resource["namespaced"] != true {
                continue;
            }
            let path = format!("/{path}/namespaces/{}/{name}", bench.namespace.name());
            let found: Value = bench.client.request(http::Request::get(path).body(Vec::new()).unwrap()).await.unwrap();
            all.push_str(&found.to_string());
        }
    }
    all
}

async fn assert_nothing_shown(bench: &Bench, handle: &Handle) {
    let shown = shown(bench).await;
    assert!(shown.contains(job_name(handle)) && shown.contains("visible") && shown.contains("Scheduled"));
    for canary in ["pnu_canary", "canary-auth", "canary-header", BLOCK, "canary-password", "canary-in-url"] {
        assert!(!shown.contains(canary), "{canary}: {shown}");
    }
}

fn secrets(bench: &Bench) -> Api<Secret> {
    Api::namespaced(bench.client.clone(), bench.namespace.name())
}

async fn run(change: impl FnOnce(KubernetesSettings) -> KubernetesSettings) -> (Bench, Handle) {
    let bench = Bench::with(change).await;
    let spec = spec(&bench);
    let handle = bench.launch(&spec).await.unwrap();
    let seen = Seen::all(bench.plugin.watch(&handle).await.unwrap()).await;
    assert_eq!(seen.report().exit, Exit::Code(1));
    expected(&seen);
    let told = format!("{:?} {:?} {:?} {}", seen.report(), seen.diagnoses, seen.occurrences, bench.log.text());
    let shown = bench.plugin.prepare(&spec).await.unwrap().shown.to_string();
    assert!(!told.contains("canary") && !shown.contains("canary"), "{told} {shown}");
    (bench, handle)
}

#[tokio::test]
async fn c107_secrets_reach_the_pod_by_a_secret_of_its_job() {
    let (bench, handle) = run(|settings| settings).await;
    assert_nothing_shown(&bench, &handle).await;
    let secret = secrets(&bench).get(&secret_name(&handle)).await.unwrap();
    let owners = secret.metadata.owner_references.unwrap();
    assert_eq!((owners[0].kind.as_str(), owners[0].name.as_str()), ("Job", job_name(&handle)));
    bench.plugin.cleanup(&handle).await.unwrap();
    bench.gone(&handle).await;
}

#[tokio::test]
async fn c107_the_whole_environment_can_be_a_secret() {
    let (bench, handle) = run(|settings| KubernetesSettings { store_env_as_secret: true, ..settings }).await;
    let shown = shown(&bench).await;
    assert!(!shown.contains("canary") && !shown.contains("visible"), "{shown}");
    bench.plugin.cleanup(&handle).await.unwrap();
}

#[tokio::test]
async fn c107_the_api_key_can_come_from_one_secret_of_all_runs_of_a_worker() {
    let (bench, handle) = run(|settings| KubernetesSettings { create_secret_for_api_key: true, ..settings }).await;
    assert_nothing_shown(&bench, &handle).await;
    let shared = secrets(&bench).get("prefect-worker-api-key").await.unwrap();
    assert_eq!(shared.data.unwrap()["value"].0, API_KEY.as_bytes());
    let own = secrets(&bench).get(&secret_name(&handle)).await.unwrap();
    assert!(!own.data.unwrap().contains_key("PREFECT_API_KEY"));
    let again = bench.launch(&spec(&bench)).await.unwrap();
    assert_eq!(bench.end_of(&again).await.exit, Exit::Code(1), "the Secret is there already");
}

#[tokio::test]
async fn c107_the_api_key_can_come_from_a_secret_that_is_there() {
    let bench = Bench::with(|settings| KubernetesSettings {
        api_key_secret: Some(SecretKeyRef { name: "prefect".to_owned(), key: "key".to_owned() }),
        api_auth_string_secret: Some(SecretKeyRef { name: "prefect".to_owned(), key: "auth".to_owned() }),
        secrets: Secrets::Secret,
        ..settings
    })
    .await;
    let secret = json!({"metadata": {"name": "prefect"}, "stringData": {"key": API_KEY, "auth": AUTH}});
    let secret: Secret = serde_json::from_value(secret).unwrap();
    secrets(&bench).create(&PostParams::default(), &secret).await.unwrap();
    let mut spec = spec(&bench);
    spec.env.insert("PREFECT_API_KEY".to_owned(), "of-the-worker".to_owned());
    let handle = bench.launch(&spec).await.unwrap();
    let seen = Seen::all(bench.plugin.watch(&handle).await.unwrap()).await;
    expected(&seen);
    assert_nothing_shown(&bench, &handle).await;
}

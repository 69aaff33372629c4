//! Images and registries.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod support;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use docker_bed::{BUSYBOX, Engine, Registry};
use futures::future::join_all;
use infra_contract::ErrorClass;
use serde_json::{Value, json};
use uuid::Uuid;
use worker_core::exit::Exit;
use worker_core::spec::RunSpec;

use support::{Bench, script_run, text_of, with_fields};

const ACCOUNT: (&str, &str) = ("ci", "hunter2?>~");

fn image_run(image: &str, more: Value) -> RunSpec {
    with_fields(with_fields(script_run("echo ran"), json!({"image": image})), more)
}

fn block(registry: &Registry, password: &str) -> Value {
    json!({"username": ACCOUNT.0, "password": password, "registry_url": format!("http://{}", registry.address()), "reauth": true})
}

/// An image that only the registry has.
fn pushed(registry: &Registry) -> String {
    registry.push(&Engine::shared(), BUSYBOX, &format!("team/flows-{}:1.2", Uuid::new_v4().simple()))
}

fn forget(bench: &Bench, image: &str) {
    bench.docker(&["rmi", "-f", image]);
}

#[tokio::test]
async fn an_image_is_pulled_with_the_blocks_credentials_and_its_digest_is_told() {
    let registry = Registry::start(Some(ACCOUNT));
    let image = pushed(&registry);
    let bench = Bench::new();
    let seen = bench.run(&image_run(&image, json!({"registry_credentials": block(&registry, ACCOUNT.1)}))).await;
    assert_eq!(seen.output, "ran\n");
    let said = bench.log.text();
    assert!(said.contains(&format!("Pulling image '{image}'")) && said.contains("Pulled image"), "{said}");
    assert!(said.contains("@sha256:"), "{said}");
    forget(&bench, &image);
}

#[tokio::test]
async fn an_image_is_pulled_with_the_credentials_of_the_docker_configuration() {
    let registry = Registry::start(Some(ACCOUNT));
    let image = pushed(&registry);
    let bench = Bench::new();
    let auth = STANDARD.encode(format!("{}:{}", ACCOUNT.0, ACCOUNT.1));
    fs_err::create_dir_all(bench.folder().join(".docker")).unwrap();
    let config = json!({"auths": {registry.address(): {"auth": auth}}});
    fs_err::write(bench.folder().join(".docker/config.json"), config.to_string()).unwrap();
    assert_eq!(bench.run(&image_run(&image, json!({}))).await.output, "ran\n");
    forget(&bench, &image);
}

#[tokio::test]
async fn c101_wrong_and_missing_credentials_an_unknown_image_and_a_dead_registry_are_told_apart() {
    let mut registry = Registry::start(Some(ACCOUNT));
    let image = pushed(&registry);
    let bench = Bench::new();
    let refused = async |spec: RunSpec| {
        let error = bench.launch(&spec).await.unwrap_err();
        let text = text_of(&error);
        assert!(!text.contains("hunter2") && !text.contains("wrong"), "{text}");
        (error.class, text)
    };
    let (class, text) = refused(image_run(&image, json!({"registry_credentials": block(&registry, "wrong")}))).await;
    assert!(class == ErrorClass::Denied && text.contains("registry refuses it"), "{text}");
    assert!(text.contains("`registry_credentials`"), "{text}");
    let (class, text) = refused(image_run(&image, json!({}))).await;
    assert!(class == ErrorClass::Denied && text.contains("registry refuses it"), "{text}");
    let unknown = format!("{}/team/no-such-image:9", registry.address());
    let credentials = json!({"registry_credentials": block(&registry, ACCOUNT.1)});
    let (class, text) = refused(image_run(&unknown, credentials)).await;
    assert!(class == ErrorClass::BadSpec && text.contains("does not have it"), "{text}");
    assert!(text.contains("no-such-image:9"), "{text}");
    registry.stop();
    let (_, text) = refused(image_run(&image, json!({}))).await;
    assert!(text.contains("connection refused"), "{text}");
    assert_eq!(bench.containers(), Vec::<String>::new());
}

#[tokio::test]
async fn c088_the_pull_policies() {
    let mut registry = Registry::start(Some(ACCOUNT));
    let image = pushed(&registry);
    let bench = Bench::new();
    let policy = |policy: &str| {
        image_run(&image, json!({"image_pull_policy": policy, "registry_credentials": block(&registry, ACCOUNT.1)}))
    };
    let error = text_of(&bench.launch(&policy("Never")).await.unwrap_err());
    assert!(error.contains("is not on the engine's machine"), "{error}");
    assert_eq!(bench.run(&policy("Always")).await.output, "ran\n");
    assert_eq!(bench.run(&policy("Never")).await.output, "ran\n");
    let specs = ["Always", "IfPossible", "IfNotPresent", "Never"].map(policy);
    let latest = format!("{}/{}", registry.address(), "latest-image");
    bench.docker(&["tag", &image, &latest]);
    let unsaid = with_fields(specs[2].clone(), json!({"image": latest, "image_pull_policy": null}));
    registry.stop();

    let [always, if_possible, if_not_present, never] = specs;
    let error = text_of(&bench.launch(&always).await.unwrap_err());
    assert!(error.contains("cannot be pulled"), "{error}");
    assert_eq!(bench.run(&if_possible).await.output, "ran\n");
    assert!(bench.log.text().contains("The image that is on the engine's machine is used"), "{}", bench.log.text());
    assert_eq!(bench.run(&if_not_present).await.report().exit, Exit::Code(0));
    assert_eq!(bench.run(&never).await.report().exit, Exit::Code(0));
    let error = text_of(&bench.launch(&unsaid).await.unwrap_err());
    assert!(error.contains("cannot be pulled"), "an image without a tag is always pulled: {error}");
    bench.docker(&["rmi", &latest]);
    forget(&bench, &image);
}

#[tokio::test]
async fn c089_credentials_are_not_looked_at_when_nothing_is_pulled() {
    let bench = Bench::new();
    fs_err::create_dir_all(bench.folder().join(".docker")).unwrap();
    fs_err::write(bench.folder().join(".docker/config.json"), r#"{"credsStore": "no-such-helper"}"#).unwrap();
    assert_eq!(bench.run(&script_run("echo ran")).await.output, "ran\n");
    let error = text_of(&bench.launch(&image_run("127.0.0.1:1/x:1", json!({}))).await.unwrap_err());
    assert!(error.contains("docker-credential-no-such-helper"), "{error}");
}

#[tokio::test]
async fn one_pull_serves_all_runs_that_wait_for_the_image() {
    let registry = Registry::start(None);
    let image = pushed(&registry);
    let bench = Arc::new(Bench::new());
    let before = jiff::Timestamp::now();
    let runs = (0..5).map(|_| {
        let (bench, spec) = (Arc::clone(&bench), image_run(&image, json!({"image_pull_policy": "IfNotPresent"})));
        async move { bench.run(&spec).await.output }
    });
    assert_eq!(join_all(runs).await, ["ran\n"; 5]);
    let since = before.to_string();
    let pulls = bench.docker(&[
        "events",
        "--since",
        &since,
        "--until",
        "0s",
        "--filter",
        "event=pull",
        "--filter",
        &format!("image={image}"),
    ]);
    assert_eq!(pulls.lines().count(), 1, "{pulls}");
    forget(&bench, &image);
}

//! Configurations that cannot be carried out, and what is said about them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod support;

use infra_contract::ErrorClass;
use serde_json::json;

use support::{Bench, script_run, text_of, with_fields};

#[tokio::test]
async fn what_cannot_be_carried_out_is_said_with_what_to_do_and_nothing_is_left() {
    let bench = Bench::new();
    for (fields, said) in [
        (json!({"image": "UPPER/Case:x"}), "the image's name is not valid"),
        (json!({"volumes": ["nowhere"]}), "`nowhere`"),
        (json!({"volumes": ["/a:/b:readonly"]}), "has no mode `readonly`"),
        (json!({"networks": ["no-such-network"], "network_mode": null}), "Create the network"),
        (json!({"mem_limit": "lots"}), "`mem_limit` must be a number of bytes"),
        (json!({"mem_limit": "1m"}), "Raise `mem_limit`"),
        (json!({"image_pull_policy": "Sometimes"}), "`image_pull_policy` must be one of"),
        (json!({"registry_credentials": {"username": "x"}}), "`registry_credentials` has no"),
        (json!({"secret_files": {"relative": "x"}}), "`secret_files` must be"),
        (json!({"cleanup": "burn"}), "`cleanup` must be one of"),
        (json!({"image_pull_deadline_seconds": 0}), "`image_pull_deadline_seconds` must be"),
        (json!({"container_create_kwargs": {"runtime": "no-such-runtime"}}), "no-such-runtime"),
        (
            json!({"container_create_kwargs": {"entrypoint": ["/no/such/program"]}}),
            "The image does not have the command",
        ),
        (json!({"container_create_kwargs": {"user": "stranger"}}), "stranger"),
    ] {
        let error = bench.launch(&with_fields(script_run("exit 0"), fields.clone())).await.unwrap_err();
        let text = text_of(&error);
        assert!(text.contains(said), "{fields}: {text}");
        assert_eq!(error.class, ErrorClass::BadSpec, "{fields}: {text}");
        assert_eq!(bench.containers(), Vec::<String>::new(), "{fields}");
    }
}

#[tokio::test]
async fn a_container_that_cannot_be_made_is_told_by_an_event() {
    let bench = Bench::new();
    let spec = with_fields(script_run("exit 0"), json!({"container_create_kwargs": {"runtime": "no-such-runtime"}}));
    let error = bench.launch(&spec).await.unwrap_err();
    assert_eq!(error.event, Some("prefect.docker.container.creation-failed"));
}

#[tokio::test]
async fn an_unclosed_quote_in_the_command_is_named() {
    let bench = Bench::new();
    let spec = worker_core::spec::RunSpec { command: Some("sh -c 'oops".to_owned()), ..script_run("") };
    let text = text_of(&bench.launch(&spec).await.unwrap_err());
    assert!(text.contains("command cannot be split"), "{text}");
}

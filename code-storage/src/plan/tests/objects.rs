//! Steps that fetch from object stores, and storage blocks.

use super::super::ObjectFetch;
use super::*;
use crate::objects::Placement;

const S3: &str = "prefect_aws.deployments.steps.pull_from_s3";
const GCS: &str = "prefect_gcp.deployments.steps.pull_from_gcs";
const AZURE: &str = "prefect_azure.deployments.steps.pull_from_azure_blob_storage";

fn named(name: &str, inputs: Value) -> Value {
    Value::Array(vec![Value::Object(Map::from_iter([(name.to_owned(), inputs)]))])
}

fn keys() -> Value {
    json!({"aws_access_key_id": "AKID", "aws_secret_access_key": "t0ps3cret"})
}

fn fetch_of(pull: &NativePull) -> &ObjectFetch {
    let [step] = pull.steps() else { panic!("{pull:?}") };
    let StepAction::Fetch(fetch) = &step.planned else { panic!("{step:?}") };
    fetch
}

#[test]
fn a_folder_of_a_bucket_goes_to_the_working_directory() {
    let inputs = json!({
        "id": "code", "requires": "prefect-aws>=0.3", "bucket": "b", "folder": "flows",
        "credentials": "{{ prefect.blocks.aws-credentials.me }}",
    });
    let pull = native_with(&named(S3, inputs), &[(block("aws-credentials", "me"), keys())]);
    let fetch = fetch_of(&pull);
    assert_eq!((fetch.pull.to_string().as_str(), &fetch.into), ("s3://b/flows/", &None));
    assert_eq!(fetch.pull.placement, Placement::Merge);
    assert!(!format!("{pull:?}").contains("t0ps3cret"), "{pull:?}");
    assert_eq!(pull.steps()[0].record.step_name, "pull_from_s3");
    assert_eq!(pull.steps()[0].record.qualified_name, S3);
    let pull = native(&named(GCS, json!({"bucket": "b", "folder": "f", "requires": ["prefect_gcp"]})));
    assert_eq!(fetch_of(&pull).pull.to_string(), "gs://b/f/");
    let credentials = json!({"account_url": "https://me.blob.core.windows.net/"});
    let pull = native(&named(AZURE, json!({"container": "c", "folder": "f", "credentials": credentials})));
    assert_eq!(fetch_of(&pull).pull.to_string(), "az://c/f/");
}

#[test]
fn a_url_goes_to_a_directory_of_its_name() {
    let inputs = json!({"url": "s3://b/some/flows", "key": "AKID", "secret": "t0ps3cret", "requires": "s3fs"});
    let pull = native(&only("pull_from_remote_storage", inputs));
    let fetch = fetch_of(&pull);
    assert_eq!(fetch.pull.to_string(), "s3://b/some/flows/");
    assert_eq!(fetch.into.as_deref(), Some("b/some/flows".into()));
    let reason = reason(&only("pull_from_remote_storage", json!({"url": "sftp://h.test/flows"})));
    assert!(reason.starts_with("the step `pull_from_remote_storage` is for Prefect itself, because "), "{reason}");
}

#[test]
fn a_storage_block_is_asked_for_once_its_name_is_known() {
    let inputs =
        json!({"block_document_name": "{{ prefect.variables.where }}", "block_type_slug": "local-file-system"});
    let (steps, site) = (only("pull_with_block", inputs), here());
    let mut draft = plan(&code(&steps, &site)).unwrap();
    assert_eq!(draft.pending(), [variable("where")]);
    draft.provide(&variable("where"), Some(json!("flows").into())).unwrap();
    assert_eq!(draft.pending(), [block("local-file-system", "flows")]);
    draft.provide(&block("local-file-system", "flows"), Some(json!({"basepath": "/srv/flows"}).into())).unwrap();
    let pull = draft.finish().unwrap();
    let fetch = fetch_of(&pull);
    assert_eq!(fetch.into.as_deref(), Some("local-file-system-flows".into()));
    assert_eq!((fetch.pull.placement, fetch.pull.to_string().as_str()), (Placement::Replace, "/srv/flows"));
}

#[test]
fn a_storage_that_is_not_read_here_is_the_sdks() {
    let with =
        |slug: &str, name: &str| only("pull_with_block", json!({"block_document_name": name, "block_type_slug": slug}));
    let server = [
        (block("my-own-storage", "b"), json!({"x": 1})),
        (block("local-file-system", ".."), json!({"basepath": "/srv"})),
        (block("local-file-system", "a/b"), json!({"basepath": "/srv"})),
    ];
    for (steps, expected) in [
        (with("my-own-storage", "b"), "its block is of a kind that this worker does not know"),
        (with("s3-bucket", "gone"), "the input `block_document_name` of the step `pull_with_block` is not the name"),
        (
            with("local-file-system", "a/b"),
            "the input `block_document_name` of the step `pull_with_block` is not a plain",
        ),
        (with("local-file-system", ""), "the input `block_document_name` of the step `pull_with_block` is missing"),
        (named(S3, json!({"bucket": "b"})), "the step `pull_from_s3` is for Prefect itself, because "),
        (
            named(S3, json!({"bucket": "b", "folder": "f", "prefix": "x"})),
            "the input `prefix` of the step `pull_from_s3`",
        ),
        (
            named(S3, json!({"bucket": "b", "folder": "f", "requires": "prefect-gcp"})),
            "the step `pull_from_s3` requires packages",
        ),
        (
            json!([
                step("run_shell_script", json!({"id": "x", "script": "true"})),
                {S3: {"bucket": "{{ x.stdout }}", "folder": "f"}},
            ]),
            "the input `bucket` of the step `pull_from_s3` takes its value from an earlier step",
        ),
    ] {
        let reason = reason_with(&steps, &server);
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn what_another_machine_would_find_of_its_own_is_not_fetched_here() {
    let elsewhere = container();
    let block = [(block("local-file-system", "b"), json!({"basepath": "/srv"}))];
    for (steps, name) in [
        (named(S3, json!({"bucket": "b", "folder": "f"})), "pull_from_s3"),
        (named(GCS, json!({"bucket": "b", "folder": "f"})), "pull_from_gcs"),
        (
            only("pull_with_block", json!({"block_document_name": "b", "block_type_slug": "local-file-system"})),
            "pull_with_block",
        ),
    ] {
        assert_eq!(
            reason_for(&code(&steps, &elsewhere), &block),
            format!("the step `{name}` has to run where the flow runs, which is not this machine")
        );
    }
    let steps = named(S3, json!({"bucket": "b", "folder": "f", "credentials": keys()}));
    planned(&code(&steps, &elsewhere), &[]).unwrap();
}

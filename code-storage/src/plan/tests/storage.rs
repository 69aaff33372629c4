//! Deployments without pull steps.

use worker_core::ids::BlockDocumentId;

use super::super::PullDraft;
use super::*;

const BLOCK: &str = "6a4d1f3e-0000-4000-8000-000000000001";

fn id() -> BlockDocumentId {
    BLOCK.parse().unwrap()
}

fn stored<'a>(path: Option<&'a str>, site: &'a RunSite) -> DeploymentCode<'a> {
    let code = DeploymentCode { pull_steps: None, entrypoint: Some(ENTRYPOINT), path, storage_block: Some(id()), site };
    assert_eq!(plan(&code).unwrap().pending(), [Reference::BlockById(id())]);
    code
}

fn provided(mut draft: PullDraft, slug: &str, data: Value) -> Result<String, String> {
    let found = Found { value: data, block_type: Some(slug.to_owned()) };
    draft.provide(&Reference::BlockById(id()), Some(found)).map_err(|reason| reason.to_string())?;
    let pull = draft.finish().map_err(|reason| reason.to_string())?;
    assert!(pull.steps().is_empty());
    assert!(!format!("{pull:?}").contains("t0ps3cret"), "{pull:?}");
    Ok(pull.storage().unwrap().pull.to_string())
}

fn bucket() -> Value {
    let credentials = json!({"aws_access_key_id": "AKID", "aws_secret_access_key": "t0ps3cret"});
    json!({"bucket_name": "b", "bucket_folder": "base", "credentials": credentials})
}

#[test]
fn a_storage_block_says_where_the_code_is() {
    let site = here();
    for (path, expected) in [(None, "s3://b/base/"), (Some("other"), "s3://b/other/")] {
        for none in [None, Some(&Value::Null), Some(&json!([]))] {
            let code = DeploymentCode { pull_steps: none, ..stored(path, &site) };
            assert_eq!(provided(plan(&code).unwrap(), "s3-bucket", bucket()).as_deref(), Ok(expected));
        }
    }
}

#[test]
fn the_path_is_below_the_directory_that_the_runs_environment_names() {
    let mut site = here();
    let block = || json!({"basepath": "/srv"});
    let path = Some("$STORAGE_BASE_PATH/flows");
    let unnamed = provided(plan(&stored(path, &site)).unwrap(), "local-file-system", block());
    assert_eq!(unnamed.as_deref(), Ok("/srv/$STORAGE_BASE_PATH/flows"));
    site.environment.insert("PREFECT__STORAGE_BASE_PATH".to_owned(), "/srv/base".to_owned());
    let named = provided(plan(&stored(path, &site)).unwrap(), "local-file-system", block());
    assert_eq!(named.as_deref(), Ok("/srv/base/flows"));
}

#[test]
fn a_storage_that_is_not_certain_is_the_sdks() {
    let site = here();
    let draft = |path| plan(&stored(path, &site)).unwrap();
    for (path, slug, data, expected) in [
        (None, "my-own-storage", json!({}), "its block is of a kind that this worker does not know"),
        (None, "smb", json!({"share_path": "/s"}), "its block is of a kind that this worker does not know"),
        (Some(""), "s3-bucket", bucket(), "the deployment's path is empty"),
        (Some("../x"), "s3-bucket", bucket(), "its folder is not a plain path"),
    ] {
        let reason = provided(draft(path), slug, data).unwrap_err();
        assert_eq!(reason, format!("the deployment's storage block is for Prefect itself, because {expected}"));
    }
    let provide = |found| draft(None).provide(&Reference::BlockById(id()), found).unwrap_err().to_string();
    assert_eq!(provide(None), "the deployment's storage block does not exist");
    assert!(provide(Some(bucket().into())).ends_with("the API does not say of which kind it is"));
    assert!(draft(None).finish().is_err());
}

#[test]
fn a_directory_of_the_machine_is_copied_if_its_path_says_which() {
    let (site, nothing) = (here(), json!([]));
    let code = |path| DeploymentCode { path, ..code(&nothing, &site) };
    let pull = planned(&code(Some("/srv/flows")), &[]).unwrap();
    assert_eq!(pull.storage().unwrap().pull.to_string(), "/srv/flows");
    for unsaid in [None, Some(""), Some("."), Some("flows"), Some("~/flows")] {
        assert_eq!(plan(&code(unsaid)).unwrap_err(), EngineReason::LocalPath, "{unsaid:?}");
    }
    let module = DeploymentCode { entrypoint: Some("flows.hello"), ..stored(Some("/srv/flows"), &site) };
    assert_eq!(plan(&module).unwrap_err(), EngineReason::LocalPath);
}

#[test]
fn only_what_is_the_same_everywhere_is_brought_elsewhere() {
    let (elsewhere, nothing) = (container(), json!([]));
    let draft = |path| plan(&stored(path, &elsewhere));
    assert_eq!(provided(draft(None).unwrap(), "s3-bucket", bucket()).as_deref(), Ok("s3://b/base/"));
    for (slug, data) in [("s3-bucket", json!({"bucket_name": "b"})), ("local-file-system", json!({"basepath": "/srv"}))]
    {
        let reason = provided(draft(None).unwrap(), slug, data).unwrap_err();
        assert_eq!(reason, EngineReason::StorageElsewhere.to_string());
    }
    let named = DeploymentCode { path: Some("$STORAGE_BASE_PATH/x"), ..stored(None, &elsewhere) };
    assert_eq!(plan(&named).unwrap_err(), EngineReason::StorageElsewhere);
    let code = DeploymentCode { path: Some("/srv/flows"), ..code(&nothing, &elsewhere) };
    assert_eq!(plan(&code).unwrap_err(), EngineReason::LocalPath);
}

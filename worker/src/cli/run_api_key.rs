//! What runs get to log in to the API with.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use worker_config::{RunApiKey, Settings, WorkspaceSettings};

const API_KEY: &str = "PREFECT_API_KEY";
/// What the worker may log in with besides: a run with a key of its own gets none of it.
const AUTH_STRING: &str = "PREFECT_API_AUTH_STRING";

/// The key of runs of the API of Prefect's own settings, if they have one of their own.
///
/// # Errors
/// Its file cannot be used: runs must not get the worker's key in its place.
pub(super) fn of_own_api(settings: &Settings) -> Result<Option<SecretString>, String> {
    read(settings.worker.run_api_key.as_ref(), "`api.run_api_key_file` (WORKER_API_RUN_API_KEY_FILE)")
}

/// The key of a workspace's runs, if they have one of their own.
///
/// # Errors
/// As for [`of_own_api`].
pub(super) fn of_workspace(workspace: &WorkspaceSettings) -> Result<Option<SecretString>, String> {
    let setting = format!("`run_api_key_file` of the `[[workspace]]` `{}`", workspace.name);
    read(workspace.run_api_key.as_ref(), &setting)
}

fn read(key: Option<&RunApiKey>, setting: &str) -> Result<Option<SecretString>, String> {
    let path = match key {
        None => return Ok(None),
        Some(RunApiKey::Given(key)) => return Ok(Some(key.clone())),
        Some(RunApiKey::File(path)) => path,
    };
    let unusable = |why: String| format!("{setting} {why}");
    let text = fs_err::read_to_string(path).map_err(|error| unusable(format!("cannot be read: {error}")))?;
    match text.trim() {
        "" => Err(unusable(format!("names an empty file: {path}"))),
        key => Ok(Some(SecretString::from(key.to_owned()))),
    }
}

/// Says to the runs of a workspace that there is nothing else to log in with. Empty counts as none, and beats whatever else they
/// may find.
pub(super) fn put_no_other(environment: &mut BTreeMap<String, String>) {
    environment.insert(AUTH_STRING.to_owned(), String::new());
}

/// Puts the key of runs into an environment that is theirs.
pub(super) fn put(key: Option<&SecretString>, environment: &mut BTreeMap<String, String>) {
    if let Some(key) = key {
        environment.remove(AUTH_STRING);
        environment.insert(API_KEY.to_owned(), key.expose_secret().to_owned());
    }
}

//! What runs get to log in to the API with.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use worker_config::{RunApiKey, Settings};

const API_KEY: &str = "PREFECT_API_KEY";
/// What the worker may log in with besides: a run with a key of its own gets none of it.
const AUTH_STRING: &str = "PREFECT_API_AUTH_STRING";

/// The key of runs, if they have one of their own.
///
/// # Errors
/// Its file cannot be used: runs must not get the worker's key in its place.
pub(super) fn of(settings: &Settings) -> Result<Option<SecretString>, String> {
    let path = match &settings.worker.run_api_key {
        None => return Ok(None),
        Some(RunApiKey::Given(key)) => return Ok(Some(key.clone())),
        Some(RunApiKey::File(path)) => path,
    };
    let unusable = |why: String| format!("`api.run_api_key_file` (WORKER_API_RUN_API_KEY_FILE) {why}");
    let text = fs_err::read_to_string(path).map_err(|error| unusable(format!("cannot be read: {error}")))?;
    match text.trim() {
        "" => Err(unusable(format!("names an empty file: {path}"))),
        key => Ok(Some(SecretString::from(key.to_owned()))),
    }
}

/// Puts the key of runs into an environment that is theirs.
pub(super) fn put(key: Option<&SecretString>, environment: &mut BTreeMap<String, String>) {
    if let Some(key) = key {
        environment.remove(AUTH_STRING);
        environment.insert(API_KEY.to_owned(), key.expose_secret().to_owned());
    }
}

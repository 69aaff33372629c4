//! `GcpCredentials`, and what `gcsfs` takes.

use camino::Utf8PathBuf;
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::given::Given;
use super::{GcpCredentials, Gcs, Unreadable};

pub(super) fn bucket(bucket: String, credentials: GcpCredentials) -> Result<Gcs, Unreadable> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if bucket.is_empty() || !bucket.bytes().all(plain) {
        return Err(Unreadable("its bucket is not an ordinary one"));
    }
    Ok(Gcs { bucket, credentials, endpoint: None })
}

/// The credentials of a step, which hands them to Google's library as they are.
pub(super) fn step_credentials(data: Option<&Map<String, Value>>) -> Result<GcpCredentials, Unreadable> {
    let Some(data) = data else { return Ok(GcpCredentials::Ambient) };
    let mut given = Given::new(data);
    given.ignore(&["project", "block_type_slug"]);
    let info = given.map("service_account_info")?;
    let file = given.text("service_account_file")?;
    given.finish()?;
    match (info, file) {
        (Some(info), _) => service_account(info),
        (None, Some(file)) => key_file(file),
        (None, None) => Ok(GcpCredentials::Ambient),
    }
}

/// The credentials of a block, which may have the key as a text besides.
pub(super) fn block_credentials(data: Option<&Map<String, Value>>) -> Result<GcpCredentials, Unreadable> {
    let Some(Value::String(text)) = data.and_then(|data| data.get("service_account_info")) else {
        return step_credentials(data);
    };
    let info = serde_json::from_str(text).map_err(|_| Unreadable("its service account is not valid JSON"))?;
    let mut data = data.cloned().unwrap_or_default();
    data.insert("service_account_info".to_owned(), Value::Object(info));
    step_credentials(Some(&data))
}

/// The content of a service account's key file.
pub(super) fn service_account(info: &Map<String, Value>) -> Result<GcpCredentials, Unreadable> {
    check_service_account(info)?;
    Ok(GcpCredentials::ServiceAccount(Value::Object(info.clone()).to_string().into()))
}

/// Whether a key can be used here: of a service account, of the public cloud.
pub(crate) fn check_service_account(info: &Map<String, Value>) -> Result<(), Unreadable> {
    let is_text = |key: &str| info.get(key).is_some_and(Value::is_string);
    let public = info.get("universe_domain").is_none_or(|domain| domain == "googleapis.com");
    let own_kind = info.get("type").is_none_or(|kind| kind == "service_account");
    if own_kind && public && ["private_key", "private_key_id", "client_email"].into_iter().all(is_text) {
        Ok(())
    } else {
        Err(Unreadable("its service account has no key that this worker can use"))
    }
}

fn key_file(path: &str) -> Result<GcpCredentials, Unreadable> {
    if !path.starts_with('/') {
        return Err(Unreadable("its key file has no absolute path"));
    }
    Ok(GcpCredentials::File(Utf8PathBuf::from(path)))
}

/// What `gcsfs` takes as `token`.
pub(super) fn token(given: &mut Given<'_>) -> Result<GcpCredentials, Unreadable> {
    match given.value("token") {
        None => Ok(GcpCredentials::Ambient),
        Some(Value::Object(info)) => service_account(info),
        Some(Value::String(text)) => match text.as_str() {
            "google_default" => Ok(GcpCredentials::Ambient),
            "anon" => Ok(GcpCredentials::Anonymous),
            path if path.starts_with('/') => key_file(path),
            token if token.starts_with("ya29.") => Ok(GcpCredentials::Token(SecretString::from(token))),
            _ => Err(Unreadable("its `token` is of a kind that this worker does not know")),
        },
        Some(_) => Err(Unreadable("its `token` is of a kind that this worker does not know")),
    }
}

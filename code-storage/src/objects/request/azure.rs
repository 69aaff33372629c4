//! `AzureBlobStorageCredentials`, connection strings, and what `adlfs` takes.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::{Map, Value};
use url::Url;

use super::given::Given;
use super::{Azure, AzureCredentials, Unreadable};

/// A container and the credentials of a step or block.
pub(super) fn container(container: String, data: &Map<String, Value>) -> Result<Azure, Unreadable> {
    check_name(&container)?;
    let mut given = Given::new(data);
    given.ignore(&["block_type_slug"]);
    let connection = given.text("connection_string")?;
    let url = given.text("account_url")?;
    let principal = (given.owned("tenant_id")?, given.owned("client_id")?, given.secret("client_secret")?);
    given.finish()?;
    if let Some(connection) = connection {
        return of_connection_string(container, connection);
    }
    let url = url.ok_or(Unreadable("its credentials have neither a connection string nor an account's URL"))?;
    let endpoint = endpoint(url)?;
    let credentials = match principal {
        (Some(tenant), Some(client), Some(secret)) => AzureCredentials::ServicePrincipal { tenant, client, secret },
        (None, None, None) => AzureCredentials::Ambient,
        _ => return Err(Unreadable("its service principal is incomplete")),
    };
    Ok(Azure { container, account: account_of(&endpoint), endpoint, credentials })
}

/// What `adlfs` makes of its settings.
pub(super) fn of_settings(container: String, given: &mut Given<'_>) -> Result<Azure, Unreadable> {
    check_name(&container)?;
    let account = given.owned("account_name")?;
    let key = given.secret("account_key")?;
    let signature = given.filled("sas_token")?;
    let principal = (given.owned("tenant_id")?, given.owned("client_id")?, given.secret("client_secret")?);
    let anonymous = given.flag("anon")?;
    let host = given.filled("account_host")?;
    if let Some(connection) = given.filled("connection_string")? {
        if key.is_some() || signature.is_some() || host.is_some() || anonymous == Some(true) {
            return Err(Unreadable("its credentials are of two kinds"));
        }
        return of_connection_string(container, connection);
    }
    let account = account.ok_or(Unreadable("its account has no name"))?;
    let endpoint = match host {
        Some(host) => endpoint(&format!("https://{host}"))?,
        None => public_endpoint(&account)?,
    };
    let credentials = match (key, signature, principal, anonymous) {
        (Some(key), None, (None, None, None), None | Some(false)) => AzureCredentials::AccountKey(key),
        (None, Some(signature), (None, None, None), None | Some(false)) => self::signature(signature)?,
        (None, None, (Some(tenant), Some(client), Some(secret)), None | Some(false)) => {
            AzureCredentials::ServicePrincipal { tenant, client, secret }
        }
        (None, None, (None, None, None), Some(true)) => AzureCredentials::Anonymous,
        (None, None, (None, None, None), None | Some(false)) => AzureCredentials::Ambient,
        _ => return Err(Unreadable("its credentials are incomplete or of two kinds")),
    };
    Ok(Azure { container, account, endpoint, credentials })
}

/// A connection string, read as Azure's library for Python reads it.
fn of_connection_string(container: String, text: &str) -> Result<Azure, Unreadable> {
    let mut parts = BTreeMap::new();
    for part in text.trim_end_matches(';').split(';') {
        let (key, value) = part.split_once('=').ok_or(Unreadable("its connection string is not well-formed"))?;
        parts.insert(key.to_ascii_uppercase(), value);
    }
    let mut take = |key: &str| parts.remove(key).filter(|value| !value.is_empty());
    let (account, key) = (take("ACCOUNTNAME"), take("ACCOUNTKEY"));
    let shared = take("SHAREDACCESSSIGNATURE");
    let (endpoint, suffix, protocol) = (take("BLOBENDPOINT"), take("ENDPOINTSUFFIX"), take("DEFAULTENDPOINTSPROTOCOL"));
    for other in ["BLOBSECONDARYENDPOINT", "QUEUEENDPOINT", "TABLEENDPOINT", "FILEENDPOINT", "DFSENDPOINT"] {
        take(other);
    }
    if !parts.is_empty() {
        return Err(Unreadable("its connection string has a part that this worker does not know"));
    }
    let endpoint = match (endpoint, account) {
        (Some(endpoint), _) => self::endpoint(endpoint)?,
        (None, Some(account)) => {
            let (protocol, suffix) = (protocol.unwrap_or("https"), suffix.unwrap_or("core.windows.net"));
            self::endpoint(&format!("{protocol}://{account}.blob.{suffix}"))?
        }
        (None, None) => return Err(Unreadable("its connection string names no account")),
    };
    let credentials = match (account, key, shared) {
        (Some(_), Some(key), _) => AzureCredentials::AccountKey(SecretString::from(key)),
        (_, None, Some(shared)) => signature(shared)?,
        _ => return Err(Unreadable("its connection string has no credentials")),
    };
    let account = account.map_or_else(|| account_of(&endpoint), str::to_owned);
    Ok(Azure { container, account, endpoint, credentials })
}

fn signature(text: &str) -> Result<AzureCredentials, Unreadable> {
    let text = text.trim_start_matches('?');
    if text.split('&').all(|pair| pair.contains('=')) {
        Ok(AzureCredentials::Signature(SecretString::from(text)))
    } else {
        Err(Unreadable("its shared access signature is not well-formed"))
    }
}

fn public_endpoint(account: &str) -> Result<Url, Unreadable> {
    if account.is_empty() || !account.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(Unreadable("its account's name is not an ordinary one"));
    }
    endpoint(&format!("https://{account}.blob.core.windows.net"))
}

/// The URL of a blob service. One with a query has a signature in it, which Azure's library combines with other
/// credentials by rules of its own.
fn endpoint(text: &str) -> Result<Url, Unreadable> {
    let text = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    super::aws::endpoint(&text)
}

/// The account of a blob service: for `https://account.blob…` in the host, for emulators the path.
fn account_of(endpoint: &Url) -> String {
    let first = endpoint.path().trim_matches('/');
    if first.is_empty() {
        endpoint.host_str().unwrap_or_default().split('.').next().unwrap_or_default().to_owned()
    } else {
        first.to_owned()
    }
}

fn check_name(container: &str) -> Result<(), Unreadable> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'$' | b'_');
    if container.is_empty() || !container.bytes().all(plain) {
        return Err(Unreadable("its container is not an ordinary one"));
    }
    Ok(())
}

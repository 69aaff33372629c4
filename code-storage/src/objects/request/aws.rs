//! `AwsCredentials`, `MinIOCredentials` and the parameters of a `boto3` client.

use camino::Utf8PathBuf;
use secrecy::SecretString;
use serde_json::{Map, Value};
use url::Url;

use super::given::Given;
use super::{Addressing, AssumedRole, AwsCredentials, AwsKeys, S3, Trust, Unreadable};

/// Parameters of the client that change how it is written, not what it reads.
const HARMLESS: &[&str] = &[
    "connect_timeout",
    "inject_host_prefix",
    "max_pool_connections",
    "parameter_validation",
    "read_timeout",
    "request_checksum_calculation",
    "response_checksum_validation",
    "retries",
    "tcp_keepalive",
    "user_agent",
    "user_agent_appid",
    "user_agent_extra",
];

/// A bucket that is read with whatever credentials there are.
pub(super) fn bucket(bucket: String) -> Result<S3, Unreadable> {
    // An ARN of an access point is addressed in another way, and so is a bucket of S3 Express.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if bucket.is_empty() || !bucket.bytes().all(plain) || bucket.ends_with("--x-s3") {
        return Err(Unreadable("its bucket is not an ordinary one"));
    }
    Ok(S3 {
        bucket,
        credentials: AwsCredentials::Ambient,
        role: None,
        region: None,
        endpoint: None,
        tls: true,
        trust: Trust::Environment,
        addressing: Addressing::Auto,
        requester_pays: false,
    })
}

/// Reads the data of either credentials block, or a step's map of credentials, into a bucket's request. `parameters` are
/// for credentials that have none of their own.
pub(super) fn credentials(
    s3: &mut S3,
    data: &Map<String, Value>,
    parameters: Option<&Map<String, Value>>,
) -> Result<(), Unreadable> {
    let mut given = Given::new(data);
    let minio = given.has("minio_root_user") || given.has("minio_root_password");
    if minio && (given.has("aws_access_key_id") || given.has("aws_secret_access_key")) {
        return Err(Unreadable("its credentials are those of two kinds"));
    }
    given.ignore(&["block_type_slug"]);
    let (id, secret) = if minio {
        (given.owned("minio_root_user")?, given.secret("minio_root_password")?)
    } else {
        (given.owned("aws_access_key_id")?, given.secret("aws_secret_access_key")?)
    };
    let token = given.secret("aws_session_token")?;
    let profile = given.owned("profile_name")?;
    s3.credentials = chosen(id, secret, token, profile)?;
    s3.region = given.owned("region_name")?;
    let parameters_of_role = given.map("assume_role_kwargs")?;
    s3.role = match given.owned("assume_role_arn")? {
        Some(arn) => Some(AssumedRole { arn, parameters: role_parameters(parameters_of_role)? }),
        None => None,
    };
    // The SDK takes the step's parameters only for credentials without the key.
    let own = given.has("aws_client_parameters");
    let parameters = if own { given.map("aws_client_parameters")? } else { parameters };
    given.finish()?;
    client_parameters(s3, parameters)
}

fn chosen(
    id: Option<String>,
    secret: Option<SecretString>,
    token: Option<SecretString>,
    profile: Option<String>,
) -> Result<AwsCredentials, Unreadable> {
    match (id, secret, token, profile) {
        (Some(id), Some(secret), token, None) => Ok(AwsCredentials::Keys(AwsKeys { id, secret, token })),
        (None, None, None, None) => Ok(AwsCredentials::Ambient),
        (None, None, None, Some(profile)) => Ok(AwsCredentials::Profile(profile)),
        _ => Err(Unreadable("its credentials are incomplete or of two kinds")),
    }
}

fn role_parameters(data: Option<&Map<String, Value>>) -> Result<Vec<(String, String)>, Unreadable> {
    let Some(data) = data else { return Ok(Vec::new()) };
    let mut given = Given::new(data);
    let mut parameters = Vec::new();
    for name in ["RoleSessionName", "ExternalId", "Policy", "SourceIdentity"] {
        if let Some(text) = given.text(name)? {
            parameters.push((name.to_owned(), text.to_owned()));
        }
    }
    match given.value("DurationSeconds") {
        None => {}
        Some(Value::Number(seconds)) => parameters.push(("DurationSeconds".to_owned(), seconds.to_string())),
        Some(_) => return Err(Unreadable("the duration of its role is no number")),
    }
    // Tags, policies by ARN and codes of devices are lists and one-time values: rare, and the SDK has them.
    given.finish()?;
    Ok(parameters)
}

/// The parameters of `AwsClientParameters`, which are those of a `boto3` client.
pub(super) fn client_parameters(s3: &mut S3, data: Option<&Map<String, Value>>) -> Result<(), Unreadable> {
    let Some(data) = data else { return Ok(()) };
    let mut given = Given::new(data);
    given.ignore(&["api_version"]);
    if let Some(region) = given.owned("region_name")? {
        s3.region = Some(region);
    }
    if let Some(tls) = given.flag("use_ssl")? {
        s3.tls = tls;
    }
    s3.trust = trust(&mut given)?;
    if let Some(endpoint) = given.filled("endpoint_url")? {
        s3.endpoint = Some(self::endpoint(endpoint)?);
    }
    client_config(s3, given.map("config")?)?;
    given.finish()
}

fn trust(given: &mut Given<'_>) -> Result<Trust, Unreadable> {
    let verify = given.value("verify");
    let path = given.filled("verify_cert_path")?;
    match (verify, path) {
        (Some(Value::Bool(false)), _) => Err(Unreadable("its server's certificate is not to be checked")),
        (_, Some(path)) => Ok(Trust::File(Utf8PathBuf::from(path))),
        (None, None) => Ok(Trust::Environment),
        (Some(Value::Bool(true)), None) => Ok(Trust::Default),
        (Some(Value::String(path)), None) if !path.is_empty() => Ok(Trust::File(Utf8PathBuf::from(path))),
        (Some(_), None) => Err(Unreadable("its `verify` is neither a truth value nor a file")),
    }
}

/// The advanced configuration of `botocore`.
pub(super) fn client_config(s3: &mut S3, data: Option<&Map<String, Value>>) -> Result<(), Unreadable> {
    let Some(data) = data else { return Ok(()) };
    let mut given = Given::new(data);
    given.ignore(HARMLESS);
    if let Some(region) = given.owned("region_name")? {
        s3.region.get_or_insert(region);
    }
    match given.text("signature_version")? {
        None | Some("s3v4" | "v4") => {}
        Some("unsigned" | "UNSIGNED") => s3.credentials = AwsCredentials::Anonymous,
        Some(_) => return Err(Unreadable("its way of signing is not known to this worker")),
    }
    if let Some(options) = given.map("s3")? {
        let mut given = Given::new(options);
        given.ignore(&["payload_signing_enabled", "us_east_1_regional_endpoint"]);
        s3.addressing = match given.text("addressing_style")? {
            None | Some("auto") => Addressing::Auto,
            Some("path") => Addressing::Path,
            Some("virtual") => Addressing::Virtual,
            Some(_) => return Err(Unreadable("its way of addressing the bucket is not known to this worker")),
        };
        given.finish()?;
    }
    given.finish()
}

/// The URL of a server.
pub(super) fn endpoint(text: &str) -> Result<Url, Unreadable> {
    let url = Url::parse(text).map_err(|_| Unreadable("its endpoint is not a URL"))?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if plain { Ok(url) } else { Err(Unreadable("its endpoint is not a plain URL of a server")) }
}

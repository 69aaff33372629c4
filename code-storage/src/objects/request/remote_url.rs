//! `pull_from_remote_storage` and the block "Remote File System": URLs and settings of `fsspec`.

use camino::Utf8PathBuf;
use serde_json::{Map, Value};

use super::given::Given;
use super::{AwsCredentials, AwsKeys, Folder, Gcs, ObjectPull, S3, Store, Unreadable, aws, azure, gcp};

/// Settings of every file system of `fsspec` that change how it caches, not what it reads.
const OF_ANY_FILE_SYSTEM: &[&str] = &[
    "block_size",
    "blocksize",
    "cache_timeout",
    "default_block_size",
    "default_cache_type",
    "default_fill_cache",
    "listings_expiry_time",
    "max_concurrency",
    "max_paths",
    "skip_instance_cache",
    "use_listings_cache",
];

/// What the step has besides the settings.
const OF_THE_STEP: &[&str] = &["id", "pull_interval", "requires"];

pub(super) fn pull(url: &str, settings: &Map<String, Value>) -> Result<(ObjectPull, Utf8PathBuf), Unreadable> {
    let (scheme, bucket, path) = split(url)?;
    let folder = Folder::parse(path)?;
    let store = store(scheme, bucket, settings, OF_THE_STEP)?;
    let destination = Utf8PathBuf::from(bucket).join(folder.as_str().trim_end_matches('/'));
    Ok((ObjectPull::merged(store, folder), destination))
}

/// The data of the block.
pub(super) fn block(data: &Map<String, Value>, path: Option<&str>) -> Result<ObjectPull, Unreadable> {
    let mut given = Given::new(data);
    let base = given.required("basepath")?;
    let none = Map::new();
    let settings = given.map("settings")?.unwrap_or(&none);
    given.finish()?;
    let (scheme, bucket, base) = split(&base)?;
    let folder = Folder::parse(base)?;
    let folder = match path {
        None => folder,
        // Two slashes begin the name of a bucket.
        Some(path) if path.contains([':', '%', '?', '#']) || path.starts_with("//") => {
            return Err(Unreadable("the deployment's path is not a plain one"));
        }
        Some(path) => folder.join(path.trim_start_matches('/'))?,
    };
    Ok(ObjectPull::merged(store(scheme, bucket, settings, &[])?, folder))
}

/// The scheme, the bucket and the path. What Python would take for a query is left to it.
fn split(url: &str) -> Result<(&str, &str, &str), Unreadable> {
    let (scheme, rest) = url.split_once("://").ok_or(Unreadable("its URL has no scheme"))?;
    if rest.contains(['?', '#', '@', '%', '{']) || rest.contains(char::is_control) {
        return Err(Unreadable("its URL has more than a bucket and a path"));
    }
    let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
    Ok((scheme, bucket, path))
}

fn store(
    scheme: &str,
    bucket: &str,
    settings: &Map<String, Value>,
    besides: &[&'static str],
) -> Result<Store, Unreadable> {
    let mut given = Given::new(settings);
    given.ignore(OF_ANY_FILE_SYSTEM);
    given.ignore(besides);
    let store = match scheme {
        "s3" | "s3a" => Store::S3(s3(bucket, &mut given)?),
        "gs" | "gcs" => Store::Gcs(gcs(bucket, &mut given)?),
        "az" | "abfs" | "abfss" => {
            given.ignore(&["connection_timeout", "read_timeout", "socket_timeout", "timeout"]);
            Store::Azure(azure::of_settings(bucket.to_owned(), &mut given)?)
        }
        _ => return Err(Unreadable("the scheme of its URL is not known to this worker")),
    };
    if given.flag("version_aware")? == Some(true) {
        return Err(Unreadable("it asks for versions"));
    }
    given.finish()?;
    Ok(store)
}

/// What `s3fs` makes of its settings.
fn s3(bucket: &str, given: &mut Given<'_>) -> Result<S3, Unreadable> {
    given.ignore(&["cache_regions", "fixed_upload_size", "local_expiry_check"]);
    let mut s3 = aws::bucket(bucket.to_owned())?;
    let id = either(given.owned("key")?, given.owned("username")?)?;
    let secret = either(given.secret("secret")?, given.secret("password")?)?;
    let token = given.secret("token")?;
    let profile = given.owned("profile")?;
    let endpoint = given.filled("endpoint_url")?.map(aws::endpoint).transpose()?;
    if let Some(tls) = given.flag("use_ssl")? {
        s3.tls = tls;
    }
    let mut client = given.map("client_kwargs")?.cloned().unwrap_or_default();
    let mut keys = Map::new();
    for key in ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"] {
        keys.extend(client.remove(key).map(|value| (key.to_owned(), value)));
    }
    let mut keys = Given::new(&keys);
    let id = either(id, keys.owned("aws_access_key_id")?)?;
    let secret = either(secret, keys.secret("aws_secret_access_key")?)?;
    let token = either(token, keys.secret("aws_session_token")?)?;
    s3.credentials = match (id, secret, token, profile) {
        (Some(id), Some(secret), token, None) => AwsCredentials::Keys(AwsKeys { id, secret, token }),
        (None, None, None, Some(profile)) => AwsCredentials::Profile(profile),
        (None, None, None, None) => AwsCredentials::Ambient,
        _ => return Err(Unreadable("its credentials are incomplete or of two kinds")),
    };
    aws::client_parameters(&mut s3, Some(&client))?;
    s3.endpoint = either(s3.endpoint.take(), endpoint)?;
    aws::client_config(&mut s3, given.map("config_kwargs")?)?;
    if given.flag("anon")? == Some(true) {
        s3.credentials = AwsCredentials::Anonymous;
    }
    s3.requester_pays = given.flag("requester_pays")? == Some(true);
    Ok(s3)
}

/// What `gcsfs` makes of its settings.
fn gcs(bucket: &str, given: &mut Given<'_>) -> Result<Gcs, Unreadable> {
    given.ignore(&["access", "check_connection", "consistency", "default_location"]);
    given.ignore(&["requests_timeout", "secure_serialize", "timeout"]);
    let credentials = gcp::token(given)?;
    // Without a token, `gcsfs` compares it with the project of the credentials that it finds.
    if given.text("project")?.is_some() && credentials == super::GcpCredentials::Ambient {
        return Err(Unreadable("its project is to be compared with that of the machine"));
    }
    if given.flag("requester_pays")? == Some(true) {
        return Err(Unreadable("the reader is to pay"));
    }
    let mut gcs = gcp::bucket(bucket.to_owned(), credentials)?;
    gcs.endpoint = given.filled("endpoint_url")?.map(aws::endpoint).transpose()?;
    Ok(gcs)
}

/// One of two ways to say the same.
fn either<T>(one: Option<T>, other: Option<T>) -> Result<Option<T>, Unreadable> {
    match (one, other) {
        (Some(_), Some(_)) => Err(Unreadable("a setting is given twice")),
        (one, other) => Ok(one.or(other)),
    }
}

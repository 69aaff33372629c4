//! Storage blocks, each with the `get_directory` of its own.

use camino::Utf8PathBuf;
use serde_json::{Map, Value};

use super::given::Given;
use super::{Folder, Local, ObjectPull, Store, Unreadable, aws, azure, gcp, remote_url};

pub(super) fn pull(slug: &str, data: &Map<String, Value>, path: Option<&str>) -> Result<ObjectPull, Unreadable> {
    // An empty path is the whole folder for some blocks and the bucket for others.
    if path == Some("") {
        return Err(Unreadable("the deployment's path is empty"));
    }
    match slug {
        "s3-bucket" => s3(data, path),
        "gcs-bucket" => gcs(data, path),
        "azure-blob-storage-container" => azure(data, path),
        "remote-file-system" => remote_url::block(data, path),
        "local-file-system" => local(data, path),
        _ => Err(Unreadable("its block is of a kind that this worker does not know")),
    }
}

/// A path replaces the block's folder.
fn s3(data: &Map<String, Value>, path: Option<&str>) -> Result<ObjectPull, Unreadable> {
    let mut given = Given::new(data);
    let mut s3 = aws::bucket(given.required("bucket_name")?)?;
    let folder = given.text("bucket_folder")?.unwrap_or_default();
    if let Some(credentials) = given.map("credentials")? {
        aws::credentials(&mut s3, credentials, None)?;
    }
    given.finish()?;
    Ok(ObjectPull::merged(Store::S3(s3), Folder::parse(path.unwrap_or(folder))?))
}

/// A path is in the block's folder, unless it starts with it. The SDK compares with the slash at the folder's end.
fn gcs(data: &Map<String, Value>, path: Option<&str>) -> Result<ObjectPull, Unreadable> {
    let mut given = Given::new(data);
    let bucket = given.required("bucket")?;
    let folder = Folder::parse(given.text("bucket_folder")?.unwrap_or_default())?;
    let credentials = gcp::block_credentials(given.map("gcp_credentials")?)?;
    given.finish()?;
    let folder = match path {
        Some(path) if !folder.as_str().is_empty() && path.starts_with(folder.as_str()) => Folder::parse(path)?,
        Some(path) => folder.join(path)?,
        None => folder,
    };
    Ok(ObjectPull::merged(Store::Gcs(gcp::bucket(bucket, credentials)?), folder))
}

/// A path is in the block's folder.
fn azure(data: &Map<String, Value>, path: Option<&str>) -> Result<ObjectPull, Unreadable> {
    let mut given = Given::new(data);
    let container = given.required("container_name")?;
    let folder = Folder::parse(given.text("base_folder")?.unwrap_or_default())?;
    let credentials = given.map("credentials")?.ok_or(Unreadable("its block has no credentials"))?;
    given.finish()?;
    let folder = path.map_or(Ok(folder.clone()), |path| folder.join(path))?;
    Ok(ObjectPull::merged(Store::Azure(azure::container(container, credentials)?), folder))
}

/// A path is in the block's directory, which is looked at when the links in both are known.
fn local(data: &Map<String, Value>, path: Option<&str>) -> Result<ObjectPull, Unreadable> {
    let mut given = Given::new(data);
    let base = given.filled("basepath")?;
    given.finish()?;
    let base = base.ok_or(Unreadable("its directory is the one that the flow starts in"))?;
    if base.starts_with('~') || !base.starts_with('/') {
        return Err(Unreadable("its directory has no absolute path"));
    }
    if path.is_some_and(|path| path.starts_with('~')) {
        return Err(Unreadable("the deployment's path is in somebody's home"));
    }
    let base = Utf8PathBuf::from(base);
    let directory = path.map_or_else(|| base.clone(), |path| base.join(path));
    Ok(ObjectPull::merged(Store::Local(Local { directory, base }), Folder::parse("")?))
}

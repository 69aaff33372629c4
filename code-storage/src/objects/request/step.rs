//! The pull steps of the packages for the clouds.

use serde_json::{Map, Value};

use super::given::Given;
use super::{Folder, ObjectPull, Store, Unreadable, aws, azure, gcp};

/// What every step may have besides its own inputs. The packages are there for a step that runs in Python.
const OF_ANY_STEP: &[&str] = &["id", "requires"];

pub(super) fn s3(inputs: &Map<String, Value>) -> Result<ObjectPull, Unreadable> {
    let mut given = Given::new(inputs);
    given.ignore(OF_ANY_STEP);
    let mut s3 = aws::bucket(given.required("bucket")?)?;
    let folder = folder(&mut given, "folder")?;
    let parameters = given.map("client_parameters")?;
    match given.map("credentials")? {
        Some(credentials) => aws::credentials(&mut s3, credentials, parameters)?,
        None => aws::client_parameters(&mut s3, parameters)?,
    }
    given.finish()?;
    Ok(ObjectPull::merged(Store::S3(s3), folder))
}

pub(super) fn gcs(inputs: &Map<String, Value>) -> Result<ObjectPull, Unreadable> {
    let mut given = Given::new(inputs);
    given.ignore(OF_ANY_STEP);
    // The SDK overwrites the step's own `project`, and reading does not need one.
    given.ignore(&["project"]);
    let bucket = given.required("bucket")?;
    let folder = folder(&mut given, "folder")?;
    let credentials = gcp::step_credentials(given.map("credentials")?)?;
    given.finish()?;
    Ok(ObjectPull::merged(Store::Gcs(gcp::bucket(bucket, credentials)?), folder))
}

pub(super) fn azure(inputs: &Map<String, Value>) -> Result<ObjectPull, Unreadable> {
    let mut given = Given::new(inputs);
    given.ignore(OF_ANY_STEP);
    let container = given.required("container")?;
    let folder = folder(&mut given, "folder")?;
    let credentials = given.map("credentials")?.ok_or(Unreadable("an input that it needs is missing"))?;
    given.finish()?;
    Ok(ObjectPull::merged(Store::Azure(azure::container(container, credentials)?), folder))
}

/// The folder, which the steps require but which may be empty.
fn folder(given: &mut Given<'_>, key: &'static str) -> Result<Folder, Unreadable> {
    Folder::parse(given.text(key)?.ok_or(Unreadable("an input that it needs is missing"))?)
}

//! Fetches a folder by its URL and says how long that took:
//! `object_pull s3://bucket/folder DIRECTORY ['{"key": "…", "secret": "…", "endpoint_url": "…"}']`.
//!
//! The settings are those of `pull_from_remote_storage`; an environment as a second object of texts may follow.

#![expect(clippy::print_stdout, reason = "an example for a terminal")]

use std::error::Error;
use std::time::Instant;

use camino::Utf8PathBuf;
use code_storage::objects::{FetchOptions, ObjectPull, ObjectSource};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("the first argument is the URL of a folder")?;
    let into = Utf8PathBuf::from(arguments.next().ok_or("the second argument is a directory")?);
    let settings: Map<String, Value> = serde_json::from_str(&arguments.next().unwrap_or_else(|| "{}".to_owned()))?;
    let environment = serde_json::from_str(&arguments.next().unwrap_or_else(|| "{}".to_owned()))?;
    let (pull, _) = ObjectPull::of_url(&url, &settings)?;
    let source = ObjectSource::new(pull, FetchOptions { environment, ..FetchOptions::default() });
    let started = Instant::now();
    match source.fetch(&into, &CancellationToken::new()).await {
        Ok(tree) => {
            let (objects, bytes) = (tree.objects, tree.bytes);
            println!("{objects} objects, {bytes} bytes in {:.3} s: {}", started.elapsed().as_secs_f64(), tree.revision);
            Ok(())
        }
        Err(error) => Err(format!("{error}\n{}", error.hint()).into()),
    }
}

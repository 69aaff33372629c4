//! What is asked of the servers, and what their answers mean.

mod azure;
mod checksum;
mod failure;
mod gcs;
mod http;
mod s3;
mod tls;

use async_trait::async_trait;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

use super::options::FetchOptions;

pub(super) use azure::AzureRemote;
pub(super) use checksum::{Checks, Running, Verdict};
pub(super) use failure::{Cause, Failure};
pub(super) use gcs::GcsRemote;
pub(super) use http::Http;
pub(super) use s3::{S3Remote, aws_suffix};

/// What is encoded in a query; the slash stays in a path.
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const IN_PATH: &AsciiSet = &IN_QUERY.remove(b'/');

/// An object of a listing.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) key: String,
    /// Its state, if the store says.
    pub(super) mark: Option<Mark>,
    /// The store's mark of a folder: nothing to fetch.
    pub(super) is_folder: bool,
}

/// The state of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// What the store changes with the content, without quotes.
    pub(super) tag: String,
    /// Bytes.
    pub(super) size: u64,
}

impl Mark {
    fn new(tag: Option<&str>, size: Option<u64>) -> Option<Self> {
        let tag = tag?.trim_matches('"').to_owned();
        (!tag.is_empty()).then_some(Self { tag, size: size? })
    }
}

/// A part of a listing.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) objects: Vec<Listed>,
    /// What to ask for the next part with.
    pub(super) next: Option<String>,
}

/// An answer with the content of an object, from some byte on.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) body: reqwest::Response,
    /// The first byte in it.
    pub(super) start: u64,
    /// How long the object is, if the server says.
    pub(super) length: Option<u64>,
    /// Which state of the object this is.
    pub(super) version: String,
    /// What the content as a whole has to match.
    pub(super) checks: Checks,
}

/// A bucket or container on a server.
#[async_trait]
pub(super) trait Remote: Send + Sync {
    /// A part of the list of what starts with a prefix.
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Failure>;

    /// The content of an object from a byte on, which may be answered with all of it. `version` is that of the bytes
    /// that came before.
    async fn get(&self, key: &str, start: u64, version: Option<&str>) -> Result<Content, Failure>;
}

/// Tries again while failures look transient.
pub(super) async fn persist<T, F: Future<Output = Result<T, Failure>>>(
    options: &FetchOptions,
    mut attempt: impl FnMut() -> F,
) -> Result<T, Failure> {
    let mut failed = 0;
    loop {
        match attempt().await {
            Err(failure) if failure.cause.is_transient() => {
                failed += 1;
                if failed >= options.attempts {
                    return Err(failure);
                }
                tracing::debug!(detail = failure.detail, "a request to an object store is made again");
                tokio::time::sleep(options.back_off_after(failed)).await;
            }
            ended => return ended,
        }
    }
}

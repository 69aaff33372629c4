//! The seam between a pull and the kinds of storage that code comes from.

use std::fmt;

use async_trait::async_trait;
use camino::{Utf8Path, Utf8PathBuf};
use tokio_util::sync::CancellationToken;

use worker_core::policy::Objection;

use crate::CodeError;

/// Code that is wholly in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// The directory that holds it.
    pub root: Utf8PathBuf,
    /// Where it comes from, without a secret: for git, the repository.
    pub source: String,
    /// What exactly it is: for git, the full id of the commit.
    pub revision: String,
    /// Whether the source could not be reached, and this is what was last known of it.
    pub stale: bool,
    /// Whether it came without any use of the network.
    pub without_network: bool,
    /// What rules about signatures object to that only report.
    pub reported: Vec<Objection>,
}

/// A place that code is fetched from.
#[async_trait]
pub trait CodeSource: fmt::Debug + Send + Sync {
    /// Brings the code to the directory `into`, whose parent exists.
    ///
    /// # Guarantees
    ///
    /// New code is written beside `into` and renamed, so an `into` that did not exist is either absent or complete.
    ///
    /// # Errors
    ///
    /// Why the code is not there, after the attempts that made sense; [`CodeError::Cancelled`] when `cancel` fired.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future kills what it started, but leaves unfinished work beside `into` until the next fetch to it.
    /// Firing `cancel` cleans up first.
    async fn fetch(&self, into: &Utf8Path, cancel: &CancellationToken) -> Result<Checkout, CodeError>;
}

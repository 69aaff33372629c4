//! Where live runs are written down before the acts that they announce.
//!
//! The seam of crash-proofness: an actor persists its run before it claims, launches and reports. What is behind the seam is
//! a small database in the daemon's own folder, [`DiskJournal`], written by one thread, which brings the writes that come
//! together to disk together. A daemon that finds records at its start carries on with them.

mod disk;
mod error;
mod opening;
mod queue;
mod record;
mod store;
mod tables;

#[cfg(test)]
mod tests;

use std::fmt;

use async_trait::async_trait;
use worker_core::ids::LaunchKey;

pub use disk::DiskJournal;
pub use error::JournalError;
pub use opening::{FILE, Opened, open};
pub use record::{FORMAT, Facts, Record};

/// One record per live run.
#[async_trait]
pub trait Journal: fmt::Debug + Send + Sync + 'static {
    /// Writes a run and does not return before it would survive a power cut.
    async fn persist(&self, record: &Record) -> Result<(), JournalError>;
    /// Writes a run within moments. Never waits.
    fn persist_soon(&self, record: &Record);
    /// Removes a run within moments, and keeps what happened to it for a while. Never waits.
    fn forget(&self, key: LaunchKey);
}

//! What can go wrong with the journal.

use std::sync::Arc;

use camino::Utf8PathBuf;

/// The journal could not be opened, read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// The folder or file cannot be used.
    #[error("the journal {path} cannot be opened")]
    Open {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A write did not reach the disk.
    #[error("the journal could not be written")]
    Write(#[source] Arc<redb::Error>),
    /// A record has no form that can be written.
    #[error("a run cannot be written down")]
    Encode(#[source] Arc<serde_json::Error>),
    /// The writing thread is gone.
    #[error("the journal is closed")]
    Closed,
}

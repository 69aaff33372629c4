//! Where live runs are written down before the acts that they announce.
//!
//! The seam of crash-proofness: the actor persists a run before it launches and before it reports. What is behind the
//! seam today keeps the records in memory, so a run's record dies with the worker's process; a durable journal takes its
//! place without a change above this line.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use worker_core::ids::RunId;
use worker_core::machine::Run;

/// One record per live run.
#[async_trait]
pub trait Journal: fmt::Debug + Send + Sync + 'static {
    /// Writes a run and does not return before it is safe.
    async fn persist(&self, run: &Run) -> io::Result<()>;
    /// Removes a run.
    async fn forget(&self, run: RunId) -> io::Result<()>;
    /// All records.
    async fn all(&self) -> io::Result<Vec<Run>>;
}

/// Records in memory.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    records: Mutex<HashMap<RunId, Run>>,
}

impl MemoryJournal {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<RunId, Run>) -> T) -> T {
        act(&mut self.records.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn persist(&self, run: &Run) -> io::Result<()> {
        self.with(|records| records.insert(run.key.run, run.clone()));
        Ok(())
    }

    async fn forget(&self, run: RunId) -> io::Result<()> {
        self.with(|records| records.remove(&run));
        Ok(())
    }

    async fn all(&self) -> io::Result<Vec<Run>> {
        Ok(self.with(|records| records.values().cloned().collect()))
    }
}

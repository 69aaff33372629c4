//! The tables, in memory, behind one lock that is never held across an await.
//!
//! Every change is announced, so whoever waits for something looks again after each change and never sleeps blindly.

mod blocks;
mod change;
mod cleanups;
mod csrf;
mod deployments;
mod error;
mod events;
mod flows;
mod leases;
mod observed;
mod pools;
mod queues;
mod runs;
mod setup;
mod tables;
mod transitions;
mod waiting;
mod workers;

pub use deployments::{NewDeployment, ScheduledRuns};
pub use error::StoreError;
pub use events::{EventQuery, StoredEvent};
pub use observed::{Connections, RequestRecord, SocketRecord};
pub use pools::NewPool;
pub use queues::NewQueue;
pub use runs::NewRun;
pub use setup::NewBlock;
pub use tables::Tables;
pub use transitions::Outcome;
pub use waiting::NotMet;

pub(crate) use change::Change;
pub(crate) use cleanups::{Delivery, OperationRequest, OperationResult};
pub(crate) use pools::PoolChange;
pub(crate) use queues::QueueChange;
pub(crate) use tables::TaskRunRow;
pub(crate) use transitions::Proposer;
pub(crate) use waiting::condition_met;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::options::ApiOptions;

/// A handle on the tables. Clones share them.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    tables: Mutex<Tables>,
    /// Counts changes; its value means nothing.
    changes: watch::Sender<u64>,
    options: ApiOptions,
}

impl Store {
    /// Empty tables.
    pub fn new(options: ApiOptions) -> Self {
        let tables = Mutex::new(Tables::new(&options));
        Self { shared: Arc::new(Shared { tables, changes: watch::Sender::new(0), options }) }
    }

    /// The settings it was made with.
    pub fn options(&self) -> &ApiOptions {
        &self.shared.options
    }

    /// Reads the tables, all of one moment.
    pub fn read<T>(&self, look: impl FnOnce(&Tables) -> T) -> T {
        look(&self.shared.tables.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the tables in one step and tells everybody who waits.
    pub fn write<T>(&self, change: impl FnOnce(&mut Tables) -> T) -> T {
        let result = change(&mut self.shared.tables.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
        result
    }

    /// A receiver that is marked changed by every change from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }
}

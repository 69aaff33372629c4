//! The pools of a daemon. They come and go while it lives.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::planned_pool::PlannedPool;
use crate::live_runs::{PoolIndex, WorkspaceIndex};

/// The pools that are served or are to be, in the order in which they came. Shared by whoever has to do with all of them.
#[derive(Clone, Debug, Default)]
pub struct Pools(Arc<Mutex<Vec<PlannedPool>>>);

impl Pools {
    /// All of them, as they are now.
    pub fn all(&self) -> Vec<PlannedPool> {
        self.list().clone()
    }

    /// Adds one.
    pub fn add(&self, pool: PlannedPool) {
        self.list().push(pool);
    }

    /// Takes one out.
    pub fn remove(&self, index: PoolIndex) {
        self.list().retain(|pool| pool.index != index);
    }

    /// Puts one in the place of the one that has its index.
    pub fn replace(&self, pool: PlannedPool) {
        if let Some(place) = self.list().iter_mut().find(|other| other.index == pool.index) {
            *place = pool;
        }
    }

    /// The pool of a name. One that is being left comes last.
    pub fn named(&self, workspace: WorkspaceIndex, name: &str) -> Option<PlannedPool> {
        let pools = self.list();
        let mut named = pools.iter().filter(|pool| pool.plan.workspace == workspace && pool.plan.pool == name);
        let first = named.clone().next();
        named.find(|pool| !pool.is_left()).or(first).cloned()
    }

    fn list(&self) -> MutexGuard<'_, Vec<PlannedPool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

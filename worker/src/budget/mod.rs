//! How many runs of all pools together may be live, and whose turn it is while there is no room for all.
//!
//! Only the taking of new runs asks here. What is live is watched, reported, repaired, cancelled and taken over without it.
//! Slots are counted by the table of live runs; what is kept here is only who waits.

mod turns;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::live_runs::{Glance, Inbox, LiveRuns, NoSlot, PoolIndex, Slot};
use crate::slot_limit::SlotLimit;
pub use turns::Priority;
use turns::Turns;

/// The budget of a daemon. Clones share it.
#[derive(Clone, Debug)]
pub struct Budget {
    live: LiveRuns,
    most: SlotLimit,
    turns: Arc<Mutex<Turns>>,
}

impl Budget {
    /// At most so many runs of all pools; none is no limit.
    pub fn new(live: LiveRuns, most: Option<usize>) -> Self {
        Self { live, most: SlotLimit::new(most), turns: Arc::default() }
    }

    /// The limit.
    pub const fn most(&self) -> &SlotLimit {
        &self.most
    }

    /// Runs of all pools that hold a slot, and the most of them, if there is such a limit.
    pub fn filling(&self) -> Option<(usize, usize)> {
        self.most.get().map(|most| (self.live.slots_in_all(), most))
    }

    /// Whether a pool may take one more run now, as far as the others are concerned.
    pub fn has_room(&self, pool: PoolIndex, priority: Priority) -> bool {
        self.turns().may_take(pool, priority, self.free(), Instant::now())
    }

    /// Takes a slot for a run of a pool that has room.
    ///
    /// # Errors
    /// [`NoSlot`] if the run is live already, the pool has no free slot, or the daemon has none.
    pub fn reserve(&self, pool: PoolIndex, limit: Option<usize>, glance: Glance) -> Result<(Slot, Inbox), NoSlot> {
        // Held while the slot is taken: else two pools could take the last one.
        let mut turns = self.turns();
        if self.free() == 0 && !self.live.is_live(glance.key().run) {
            return Err(NoSlot::BudgetSpent);
        }
        let reserved = self.live.reserve(pool, limit, glance)?;
        turns.took(pool);
        Ok(reserved)
    }

    /// A pool has so many due runs for which there is no room.
    pub fn waits(&self, pool: PoolIndex, priority: Priority, runs: usize) {
        self.turns().waits(pool, priority, runs);
    }

    /// A pool waits for nothing: the others need not leave anything to it.
    pub fn waits_no_more(&self, pool: PoolIndex) {
        let changed = self.turns().waits_no_more(pool);
        if changed {
            self.live.stir();
        }
    }

    /// This machine could not bear a run of a pool.
    pub fn is_held(&self, pool: PoolIndex, priority: Priority) {
        self.turns().is_held(pool, priority, Instant::now());
    }

    /// Whether this machine could not bear a run of a pool that comes before this one, a moment ago.
    pub fn is_preceded(&self, pool: PoolIndex, priority: Priority) -> bool {
        self.turns().is_preceded(pool, priority, Instant::now())
    }

    fn free(&self) -> usize {
        self.filling().map_or(usize::MAX, |(held, most)| most.saturating_sub(held))
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The table of live runs, from which slots are derived.
//!
//! A slot is the presence of a run in this table, so there is no counter that a forgotten path could leave wrong: the
//! entry is removed when the run's actor ends, however it ends. Runs of some kinds give their slot back before, once their
//! infrastructure exists; that too is read off what they show, not counted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use worker_core::ids::{LaunchKey, RunId};
use worker_core::machine::Input;

pub use glance::{Glance, Progress, Seen, Stage};
pub use inbox::{Inbox, Mailbox, inbox};

mod glance;
mod inbox;

/// Which API of this daemon a run belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkspaceIndex(pub usize);

/// Which pool worker of this daemon a run belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolIndex {
    /// The API of the pool.
    pub workspace: WorkspaceIndex,
    /// The pool among all of the daemon.
    number: usize,
}

impl PoolIndex {
    /// A pool that this daemon serves.
    pub const fn new(workspace: WorkspaceIndex, number: usize) -> Self {
        Self { workspace, number }
    }

    /// Runs that an earlier process took from pools which this one does not serve.
    pub const fn elsewhere(workspace: WorkspaceIndex) -> Self {
        Self { workspace, number: usize::MAX }
    }
}

/// Shared by the dispatcher, which adds, and by whoever has something to say to a run.
#[derive(Clone, Debug)]
pub struct LiveRuns {
    table: Arc<Mutex<Table>>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Table {
    /// Nothing is admitted any more.
    closed: bool,
    pools: HashMap<PoolIndex, HashMap<RunId, Live>>,
}

#[derive(Debug)]
struct Live {
    inbox: Mailbox,
    glance: Glance,
}

/// A live run as others see it.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// Its place in the table.
    pub pool: PoolIndex,
    /// What it shows of itself.
    pub seen: Seen,
}

/// Why a run got no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSlot {
    /// This daemon executes the run already.
    AlreadyLive,
    /// The daemon stops.
    Closed,
    /// The pool's limit is reached.
    LimitReached {
        /// How many runs of the pool hold a slot.
        held: usize,
    },
    /// The limit of the whole daemon is reached.
    BudgetSpent,
}

/// A run's place in the table. Dropping it frees the slot, if the run has not given it back before.
#[derive(Debug)]
pub struct Slot {
    runs: LiveRuns,
    pool: PoolIndex,
    run: RunId,
}

impl Default for LiveRuns {
    fn default() -> Self {
        Self { table: Arc::default(), changes: watch::Sender::new(0) }
    }
}

impl LiveRuns {
    /// Takes a slot for a run, with the inbox in which the run will be told things.
    ///
    /// # Errors
    /// [`NoSlot`] if the run is live already, in any pool, or the pool has no free slot.
    pub fn reserve(&self, pool: PoolIndex, limit: Option<usize>, glance: Glance) -> Result<(Slot, Inbox), NoSlot> {
        let run = glance.key().run;
        let mut table = self.table();
        if table.closed {
            return Err(NoSlot::Closed);
        }
        if table.pools.values().any(|runs| runs.contains_key(&run)) {
            return Err(NoSlot::AlreadyLive);
        }
        let runs = table.pools.entry(pool).or_default();
        let held = slots(runs);
        if limit.is_some_and(|limit| held >= limit) {
            return Err(NoSlot::LimitReached { held });
        }
        glance.in_table(&self.changes);
        let (mailbox, inbox) = inbox();
        runs.insert(run, Live { inbox: mailbox, glance });
        drop(table);
        self.changes.send_modify(|generation| *generation += 1);
        Ok((Slot { runs: self.clone(), pool, run }, inbox))
    }

    /// Admits nothing from now on, so that whoever is told to stop after this is everybody.
    pub fn close(&self) {
        self.table().closed = true;
    }

    /// How many runs of a pool are live.
    pub fn count(&self, pool: PoolIndex) -> usize {
        self.table().pools.get(&pool).map_or(0, HashMap::len)
    }

    /// How many runs of a pool hold a slot.
    pub fn slots(&self, pool: PoolIndex) -> usize {
        self.table().pools.get(&pool).map_or(0, slots)
    }

    /// How many runs of all pools hold a slot.
    pub fn slots_in_all(&self) -> usize {
        self.table().pools.values().map(slots).sum()
    }

    /// Tells whoever waits for a slot that there may be one, although no run came or went.
    pub fn stir(&self) {
        self.changes.send_modify(|generation| *generation += 1);
    }

    /// How many runs are live in all pools.
    pub fn total(&self) -> usize {
        self.table().pools.values().map(HashMap::len).sum()
    }

    /// Whether a run of a pool is live.
    pub fn contains(&self, pool: PoolIndex, run: RunId) -> bool {
        self.table().pools.get(&pool).is_some_and(|runs| runs.contains_key(&run))
    }

    /// Whether an execution is live, in whatever pool.
    pub fn has(&self, key: LaunchKey) -> bool {
        self.table().pools.values().any(|runs| runs.get(&key.run).is_some_and(|live| live.glance.key() == key))
    }

    /// Whether any execution of a run is live.
    pub fn is_live(&self, run: RunId) -> bool {
        self.table().pools.values().any(|runs| runs.contains_key(&run))
    }

    /// Everything of one API that is live, in no order.
    pub fn sightings_of(&self, workspace: WorkspaceIndex) -> Vec<Sighting> {
        let mut sightings = self.sightings();
        sightings.retain(|sighting| sighting.pool.workspace == workspace);
        sightings
    }

    /// Everything that is live, in no order.
    pub fn sightings(&self) -> Vec<Sighting> {
        let table = self.table();
        let of_pool = |(pool, runs): (&PoolIndex, &HashMap<RunId, Live>)| {
            let pool = *pool;
            runs.values().map(move |live| Sighting { pool, seen: live.glance.seen() }).collect::<Vec<_>>()
        };
        table.pools.iter().flat_map(of_pool).collect()
    }

    /// A live run of a pool, as it is now.
    pub fn seen(&self, pool: PoolIndex, run: RunId) -> Option<Seen> {
        self.table().pools.get(&pool)?.get(&run).map(|live| live.glance.seen())
    }

    /// The live runs of a pool.
    pub fn ids(&self, pool: PoolIndex) -> Vec<RunId> {
        self.table().pools.get(&pool).map(|runs| runs.keys().copied().collect()).unwrap_or_default()
    }

    /// Tells a run something. A full inbox means that it was told the same many times and has not acted yet: the
    /// repeat is dropped.
    pub fn tell(&self, pool: PoolIndex, run: RunId, input: Input) {
        let inbox = self.table().pools.get(&pool).and_then(|runs| runs.get(&run).map(|live| live.inbox.clone()));
        if let Some(inbox) = inbox
            && !inbox.put(input)
        {
            tracing::debug!(%run, "the run has not yet acted on what it was told before");
        }
    }

    /// Tells every run something.
    pub fn tell_all(&self, input: &Input) {
        let everyone: Vec<_> =
            self.table().pools.iter().flat_map(|(pool, runs)| runs.keys().map(|run| (*pool, *run))).collect();
        for (pool, run) in everyone {
            self.tell(pool, run, input.clone());
        }
    }

    /// Tells each run something of its own.
    pub fn tell_each(&self, input: impl Fn(&Seen) -> Input) {
        for sighting in self.sightings() {
            self.tell(sighting.pool, sighting.seen.key.run, input(&sighting.seen));
        }
    }

    /// Changes with every run that comes, goes, or gives its slot back before.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Waits until a pool has no live run. Cancel safe.
    pub async fn until_empty(&self, pool: PoolIndex) {
        let mut changes = self.changes();
        while self.count(pool) > 0 {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn slots(runs: &HashMap<RunId, Live>) -> usize {
    runs.values().filter(|live| live.glance.holds_slot()).count()
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(runs) = self.runs.table().pools.get_mut(&self.pool) {
            runs.remove(&self.run);
        }
        self.runs.changes.send_modify(|generation| *generation += 1);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use worker_core::handle::{Detail, Handle, PluginKind};
    use worker_core::ids::{InfraId, TransitionId};
    use worker_core::machine::{Phase, Run, StopReason};
    use worker_core::spec::ReportState;

    use infra_contract::{CancelsRunning, Capabilities};

    use super::*;
    use crate::slots_held::SlotsHeld;

    const POOL: PoolIndex = PoolIndex::new(WorkspaceIndex(0), 0);
    const OTHER: PoolIndex = PoolIndex::new(WorkspaceIndex(0), 1);

    fn run(n: u128) -> Glance {
        let key = LaunchKey { run: RunId(Uuid::from_u128(n)), claim: TransitionId(Uuid::nil()) };
        {
            let capabilities = Capabilities {
                cancels_running: CancelsRunning::Worker,
                handles_cleanup_messages: true,
                outlives_worker: false,
                puts_runs_back: false,
            };
            Glance::new(key, "name", "pool", PluginKind::new("process"), capabilities, false)
        }
    }

    #[test]
    fn a_slot_is_free_again_when_it_is_dropped_and_never_twice() {
        let runs = LiveRuns::default();
        let (first, _inbox) = runs.reserve(POOL, Some(1), run(1)).unwrap();
        assert_eq!(runs.reserve(POOL, Some(1), run(2)).unwrap_err(), NoSlot::LimitReached { held: 1 });
        drop(first);
        assert_eq!(runs.count(POOL), 0);
        assert!(runs.reserve(POOL, Some(1), run(2)).is_ok());
    }

    #[test]
    fn a_run_is_live_once_whatever_pool_offers_it() {
        let runs = LiveRuns::default();
        let _held = runs.reserve(POOL, None, run(1)).unwrap();
        assert_eq!(runs.reserve(OTHER, None, run(1)).unwrap_err(), NoSlot::AlreadyLive);
    }

    #[test]
    fn a_limit_counts_one_pool_only() {
        let runs = LiveRuns::default();
        let _held = runs.reserve(POOL, Some(1), run(1)).unwrap();
        assert!(runs.reserve(OTHER, Some(1), run(2)).is_ok());
    }

    fn submitted(n: u128) -> Run {
        let key = run(n).key();
        let handle = Handle {
            kind: PluginKind::new("k"),
            version: 1,
            key,
            infra_id: InfraId("job".to_owned()),
            report_state: ReportState::default(),
            cancels_itself: false,
            detail: Detail::default(),
        };
        Run { phase: Phase::Running(handle), ..Run::offered(key) }
    }

    #[test]
    fn a_run_that_may_gives_its_slot_back_once_it_is_submitted_and_stays_live() {
        let runs = LiveRuns::default();
        let mut changes = runs.changes();
        let glance = run(1).holding_its_slot(SlotsHeld::UntilSubmitted);
        let (slot, _inbox) = runs.reserve(POOL, Some(1), glance.clone()).unwrap();
        glance.saw(&Run::offered(glance.key()));
        assert_eq!(runs.reserve(POOL, Some(1), run(2)).unwrap_err(), NoSlot::LimitReached { held: 1 });

        changes.mark_unchanged();
        glance.saw(&submitted(1));
        assert!(changes.has_changed().unwrap(), "whoever waits for a slot hears of it");
        assert_eq!((runs.slots(POOL), runs.count(POOL), runs.is_live(glance.key().run)), (0, 1, true));
        let _second = runs.reserve(POOL, Some(1), run(2)).unwrap();

        changes.mark_unchanged();
        glance.saw(&submitted(1));
        assert!(!changes.has_changed().unwrap(), "a slot is given back once");
        drop(slot);
        assert_eq!((runs.slots(POOL), runs.count(POOL)), (1, 1));
    }

    #[test]
    fn a_run_holds_its_slot_until_its_end_unless_its_kind_says_otherwise() {
        let runs = LiveRuns::default();
        let glance = run(1);
        let _held = runs.reserve(POOL, Some(1), glance.clone()).unwrap();
        glance.saw(&submitted(1));
        assert_eq!(runs.slots(POOL), 1);
    }

    #[test]
    fn a_stopping_daemon_admits_nothing() {
        let runs = LiveRuns::default();
        runs.close();
        assert_eq!(runs.reserve(POOL, None, run(1)).unwrap_err(), NoSlot::Closed);
    }

    #[tokio::test]
    async fn what_is_told_arrives_and_a_flood_is_harmless() {
        let runs = LiveRuns::default();
        let (_slot, mut inbox) = runs.reserve(POOL, None, run(1)).unwrap();
        for _ in 0..100 {
            runs.tell_all(&Input::Stop(StopReason::Cancelled));
        }
        assert_eq!(inbox.next().await, Input::Stop(StopReason::Cancelled));
    }

    #[tokio::test]
    async fn waiting_for_an_empty_pool_ends_with_its_last_run() {
        let runs = LiveRuns::default();
        let (slot, _inbox) = runs.reserve(POOL, None, run(1)).unwrap();
        let waiting = {
            let runs = runs.clone();
            async move { runs.until_empty(POOL).await }
        };
        tokio::join!(waiting, async move { drop(slot) });
        assert_eq!(runs.total(), 0);
    }
}

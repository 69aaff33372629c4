//! Whose turn it is. Pure: time comes from outside.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::live_runs::PoolIndex;

/// How long a free slot is left to a pool that comes before others. It was woken and asks its API now; if that does not
/// answer, nobody else is to wait for it.
const LEFT_FOR: Duration = Duration::from_secs(2);
/// A pool whose run was held longer ago has none any more, or is held by something of its own.
const HELD_LATELY: Duration = Duration::from_secs(1);

/// Which pool takes first. As with Prefect's work queues, 1 comes before 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(pub usize);

/// A pool that has due runs and no room for them.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    priority: Priority,
    /// Due runs that it was shown and could not take.
    runs: usize,
    /// Its place among those of the same priority.
    turn: u64,
    /// Since when a slot is left to it.
    left_to_it: Option<Instant>,
}

/// The pools that wait.
#[derive(Debug, Default)]
pub(super) struct Turns {
    waiting: HashMap<PoolIndex, Waiting>,
    held: HashMap<PoolIndex, (Priority, Instant)>,
    turns: u64,
}

impl Turns {
    /// Whether a pool may take one of the free slots. Those that come before it have theirs left to them: a pool of a higher
    /// priority one for each of its runs, one of the same priority that has waited longer a single one.
    pub(super) fn may_take(&mut self, pool: PoolIndex, priority: Priority, free: usize, now: Instant) -> bool {
        if free == 0 {
            return false;
        }
        self.waiting.retain(|other, waiting| {
            *other == pool || waiting.left_to_it.is_none_or(|since| now.duration_since(since) < LEFT_FOR)
        });
        let own_turn = self.waiting.get(&pool).map(|waiting| waiting.turn);
        let comes_before = |waiting: &Waiting| {
            waiting.priority < priority
                || (waiting.priority == priority && own_turn.is_none_or(|turn| waiting.turn < turn))
        };
        let mut before: Vec<&mut Waiting> = self
            .waiting
            .iter_mut()
            .filter(|(other, waiting)| **other != pool && comes_before(waiting))
            .map(|(_, waiting)| waiting)
            .collect();
        let ahead = before.iter().fold(0_usize, |ahead, waiting| {
            ahead.saturating_add(if waiting.priority < priority { waiting.runs } else { waiting.runs.min(1) })
        });
        if free > ahead {
            return true;
        }
        for waiting in &mut before {
            waiting.left_to_it.get_or_insert(now);
        }
        false
    }

    pub(super) fn waits(&mut self, pool: PoolIndex, priority: Priority, runs: usize) {
        let turn = self.waiting.get(&pool).map(|waiting| waiting.turn);
        let turn = turn.unwrap_or_else(|| self.next_turn());
        self.waiting.insert(pool, Waiting { priority, runs, turn, left_to_it: None });
    }

    /// A pool took a slot: it comes after the others of its priority now.
    pub(super) fn took(&mut self, pool: PoolIndex) {
        let turn = self.next_turn();
        self.held.remove(&pool);
        if let Some(waiting) = self.waiting.get_mut(&pool) {
            waiting.runs = waiting.runs.saturating_sub(1);
            (waiting.turn, waiting.left_to_it) = (turn, None);
            if waiting.runs == 0 {
                self.waiting.remove(&pool);
            }
        }
    }

    /// Whether that is a change.
    pub(super) fn waits_no_more(&mut self, pool: PoolIndex) -> bool {
        self.held.remove(&pool);
        self.waiting.remove(&pool).is_some()
    }

    pub(super) fn is_held(&mut self, pool: PoolIndex, priority: Priority, now: Instant) {
        self.held.insert(pool, (priority, now));
    }

    pub(super) fn is_preceded(&mut self, pool: PoolIndex, priority: Priority, now: Instant) -> bool {
        self.held.retain(|_, (_, at)| now.duration_since(*at) < HELD_LATELY);
        self.held.iter().any(|(other, (its, _))| *other != pool && *its < priority)
    }

    const fn next_turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::live_runs::WorkspaceIndex;

    const HIGH: Priority = Priority(1);
    const LOW: Priority = Priority(9);

    fn pool(number: usize) -> PoolIndex {
        PoolIndex::new(WorkspaceIndex(0), number)
    }

    #[test]
    fn a_free_slot_is_left_to_the_pool_of_the_higher_priority() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        turns.waits(pool(1), LOW, 1000);
        turns.waits(pool(2), HIGH, 2);
        assert!(!turns.may_take(pool(1), LOW, 2, now));
        assert!(turns.may_take(pool(1), LOW, 3, now), "there is room for all three");
        assert!(turns.may_take(pool(2), HIGH, 1, now));
        turns.took(pool(2));
        turns.took(pool(2));
        assert!(turns.may_take(pool(1), LOW, 1, now), "the other has all of its runs");
    }

    #[test]
    fn a_pool_that_does_not_take_its_slot_keeps_nobody_waiting_for_long() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        turns.waits(pool(2), HIGH, 1);
        assert!(!turns.may_take(pool(1), LOW, 1, now));
        assert!(!turns.may_take(pool(1), LOW, 1, now + Duration::from_millis(1900)));
        assert!(turns.may_take(pool(1), LOW, 1, now + LEFT_FOR));
        turns.waits(pool(2), HIGH, 1);
        assert!(!turns.may_take(pool(1), LOW, 1, now + LEFT_FOR), "it has asked again");
    }

    #[test]
    fn pools_of_the_same_priority_take_turns() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        turns.waits(pool(1), LOW, 1000);
        turns.waits(pool(2), LOW, 1000);
        let mut taken = Vec::new();
        for _ in 0..6 {
            let next = [1, 2].into_iter().find(|number| turns.may_take(pool(*number), LOW, 1, now)).unwrap();
            turns.took(pool(next));
            taken.push(next);
        }
        assert_eq!(taken, [1, 2, 1, 2, 1, 2]);
    }

    #[test]
    fn a_pool_that_waits_for_nothing_is_not_thought_of() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        turns.waits(pool(2), HIGH, 5);
        assert!(turns.waits_no_more(pool(2)) && !turns.waits_no_more(pool(2)));
        assert!(turns.may_take(pool(1), LOW, 1, now));
    }

    #[test]
    fn a_machine_that_bears_nothing_more_is_left_to_the_higher_priority_as_well() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        turns.is_held(pool(2), HIGH, now);
        assert!(turns.is_preceded(pool(1), LOW, now) && !turns.is_preceded(pool(3), HIGH, now));
        assert!(!turns.is_preceded(pool(1), LOW, now + HELD_LATELY));
        turns.is_held(pool(2), HIGH, now);
        turns.took(pool(2));
        assert!(!turns.is_preceded(pool(1), LOW, now));
    }

    proptest! {
        /// Whatever waits: a free slot is never left to nobody, and the pool that comes first always gets one.
        #[test]
        fn somebody_may_always_take_a_free_slot(
            pools in prop::collection::vec((1_usize..4, 1_usize..5), 1..8), free in 1_usize..6,
        ) {
            let (mut turns, now) = (Turns::default(), Instant::now());
            for (number, (priority, runs)) in pools.iter().enumerate() {
                turns.waits(pool(number), Priority(*priority), *runs);
            }
            let first = (0..pools.len()).min_by_key(|number| (pools[*number].0, *number)).unwrap();
            prop_assert!(turns.may_take(pool(first), Priority(pools[first].0), free, now));
        }

        /// With room for one, exactly one pool may take it.
        #[test]
        fn a_single_slot_is_for_one_pool(pools in prop::collection::vec((1_usize..4, 1_usize..5), 1..8)) {
            let (mut turns, now) = (Turns::default(), Instant::now());
            for (number, (priority, runs)) in pools.iter().enumerate() {
                turns.waits(pool(number), Priority(*priority), *runs);
            }
            let may = (0..pools.len()).filter(|at| turns.may_take(pool(*at), Priority(pools[*at].0), 1, now)).count();
            prop_assert_eq!(may, 1);
        }
    }
}

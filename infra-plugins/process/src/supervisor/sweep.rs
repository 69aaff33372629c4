//! Killing everything of the run.

use std::time::{Duration, Instant};

use crate::cgroup::Cgroup;
use crate::procfs;
use crate::tree::{PASS_INTERVAL, SWEEP_LIMIT, Tree};

/// Between two passes over what outlasts being killed: it waits for a disk, and costs us nothing but the look.
const SLOW_INTERVAL: Duration = Duration::from_secs(1);

/// Passes over the process table, until one finds nothing: a process may be born during each.
#[derive(Debug)]
pub(super) struct Sweep {
    tree: Tree,
    under_way: Option<UnderWay>,
    /// A process that was started after the sweep began, and is left out of it with all that descends from it.
    spared: Option<i32>,
}

#[derive(Clone, Copy, Debug)]
struct UnderWay {
    since: Instant,
    next_pass: Instant,
}

impl Sweep {
    pub(super) const fn over(tree: Tree) -> Self {
        Self { tree, under_way: None, spared: None }
    }

    /// Begins, unless it is under way. Nobody is spared any more.
    pub(super) fn begin(&mut self, now: Instant) {
        let anew = UnderWay { since: now, next_pass: now };
        match self.spared.take() {
            Some(_) => self.under_way = Some(anew),
            None => _ = self.under_way.get_or_insert(anew),
        }
    }

    /// Leaves a process, and what descends from it, out of the sweep that is under way.
    pub(super) fn spare(&mut self, pid: i32) {
        self.spared = self.under_way.is_some().then_some(pid);
    }

    /// The number of the command is free for others from now on.
    pub(super) fn leader_is_reaped(&self) {
        self.tree.leader_is_reaped();
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.under_way.map(|under_way| under_way.next_pass)
    }

    /// Whether nothing is left, or what is left outlasts being killed.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.under_way.is_none_or(|under_way| now >= under_way.since + SWEEP_LIMIT)
    }

    /// Makes a pass if it is time for one.
    pub(super) fn advance(&mut self, cgroup: Option<&Cgroup>, now: Instant) {
        let Some(under_way) = self.under_way.filter(|under_way| now >= under_way.next_pass) else { return };
        // Every process of the run descends from a child of this one. Most have left nothing, and looking at the whole
        // process table for each would take long where many end at once.
        if procfs::is_childless() {
            self.under_way = None;
            return;
        }
        if let Some(cgroup) = cgroup {
            cgroup.kill();
        }
        let interval = if self.is_over(now) { SLOW_INTERVAL } else { PASS_INTERVAL };
        let next = UnderWay { next_pass: Instant::now() + interval, ..under_way };
        self.under_way = (self.tree.kill_pass(self.spared) > 0).then_some(next);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use worker_core::ids::{LaunchKey, RunId, TransitionId};

    use super::*;
    use crate::procfs::Identity;

    #[test]
    fn a_sweep_that_no_longer_spares_anybody_has_its_whole_time_for_them() {
        let key = LaunchKey { run: RunId(Uuid::new_v4()), claim: TransitionId(Uuid::new_v4()) };
        let mut sweep = Sweep::over(Tree::below_this_process(Identity { pid: 0, started: None }, key));
        let began = Instant::now();
        let later = began + SWEEP_LIMIT;
        sweep.begin(began);
        sweep.begin(later);
        assert!(sweep.is_over(later), "it goes on as it began");
        sweep.spare(1);
        sweep.begin(later);
        assert!(!sweep.is_over(later));
        assert_eq!(sweep.deadline(), Some(later));
    }
}

//! All processes of a run, and their end.
//!
//! A process belongs to the run if it is the command itself, is in its process group, carries the run's marker in its
//! environment, was seen to belong before, or descends from one that does or from the supervisor. Under a supervisor that
//! is every process of the run, whatever it did to itself. Without one, only a process that has forked twice, started a
//! session of its own and cleared its environment before the first look escapes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process_group};
use tokio::time::Instant;
use worker_core::ids::LaunchKey;

use crate::environment::LAUNCH_MARKER;
use crate::process;
use crate::procfs::{self, Identity, Stat};

/// How long a sweep goes on before what is left is reported instead.
pub(crate) const SWEEP_LIMIT: Duration = Duration::from_secs(5);

/// Between two passes of a sweep: what was killed needs a moment to end.
pub(crate) const PASS_INTERVAL: Duration = Duration::from_millis(10);

/// The processes of one run.
#[derive(Debug)]
pub(crate) struct Tree {
    leader: Identity,
    key: LaunchKey,
    /// The supervisor, if it is the one that looks.
    ancestor: Option<i32>,
    known: Mutex<BTreeSet<Identity>>,
    /// Once the command has been waited for, its number, and with it the group's, may pass to strangers.
    leader_is_reaped: AtomicBool,
}

impl Tree {
    pub(crate) fn of(leader: Identity, key: LaunchKey) -> Arc<Self> {
        Arc::new(Self::new(leader, key, None))
    }

    /// All processes below this one, which is the run's supervisor.
    pub(crate) fn below_this_process(leader: Identity, key: LaunchKey) -> Self {
        Self::new(leader, key, Some(getpid().as_raw_nonzero().get()))
    }

    const fn new(leader: Identity, key: LaunchKey, ancestor: Option<i32>) -> Self {
        let known = Mutex::new(BTreeSet::new());
        Self { leader, key, ancestor, known, leader_is_reaped: AtomicBool::new(false) }
    }

    /// The number of the command is free for others from now on.
    pub(crate) fn leader_is_reaped(&self) {
        self.leader_is_reaped.store(true, Ordering::Release);
    }

    /// Remembers who belongs to the run now, so that processes that lose their parent later are still found.
    pub(crate) async fn remember(self: &Arc<Self>) {
        let tree = Arc::clone(self);
        self.beside_the_runtime(move || tree.members(None).map_or(0, |members| members.len())).await;
    }

    /// Kills every process of the run, again and again until none is left: one may be born during a pass.
    pub(crate) async fn sweep(self: &Arc<Self>) {
        let deadline = Instant::now() + SWEEP_LIMIT;
        loop {
            let tree = Arc::clone(self);
            let left = self.beside_the_runtime(move || tree.kill_pass(None)).await;
            if left == 0 {
                return;
            }
            if Instant::now() >= deadline {
                tracing::warn!(run_id = %self.key.run, left, "processes of the run outlast being killed");
                return;
            }
            tokio::time::sleep(PASS_INTERVAL).await;
        }
    }

    /// The process table is read with blocking calls.
    async fn beside_the_runtime(&self, work: impl FnOnce() -> usize + Send + 'static) -> usize {
        tokio::task::spawn_blocking(work).await.unwrap_or_default()
    }

    /// Kills whoever belongs to the run now, but for one process and what descends from it; how many that were.
    pub(crate) fn kill_pass(&self, spared: Option<i32>) -> usize {
        let Some(members) = self.members(spared) else {
            self.kill_group();
            return 0;
        };
        for member in &members {
            if let Err(error) = process::kill(*member) {
                tracing::debug!(run_id = %self.key.run, pid = member.pid, %error, "cannot kill a process of the run");
            }
        }
        members.len()
    }

    /// The best that can be done where there is no `/proc`.
    fn kill_group(&self) {
        if let Some(leader) = self.leader.raw()
            && !self.leader_is_reaped.load(Ordering::Acquire)
            && let Err(error) = kill_process_group(leader, Signal::KILL)
        {
            tracing::debug!(run_id = %self.key.run, %error, "cannot kill the process group of the run");
        }
    }

    fn members(&self, spared: Option<i32>) -> Option<BTreeSet<Identity>> {
        let mut processes = procfs::all()?;
        if let Some(spared) = spared {
            leave_out(&mut processes, spared);
        }
        let marker = self.key.to_string();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let members = members(
            &processes,
            &Belonging {
                leader: self.leader,
                group: (!self.leader_is_reaped.load(Ordering::Acquire)).then_some(self.leader.pid),
                ancestor: self.ancestor,
                known: &known,
                is_marked: &|pid| procfs::has_variable(pid, LAUNCH_MARKER, &marker),
            },
        );
        known.extend(&members);
        Some(members)
    }
}

/// The oldest process that carries the marker of an execution: its command, if nobody noted which that is.
pub(crate) fn oldest_marked(key: &LaunchKey) -> Option<Identity> {
    let marker = key.to_string();
    let mut processes = procfs::all()?;
    processes.sort_by_key(|stat| (stat.started, stat.pid));
    let is_marked = |stat: &Stat| stat.is_alive && procfs::has_variable(stat.pid, LAUNCH_MARKER, &marker);
    processes.iter().find(|stat| is_marked(stat)).map(Stat::identity)
}

/// What makes a process one of the run's.
struct Belonging<'t> {
    leader: Identity,
    group: Option<i32>,
    ancestor: Option<i32>,
    known: &'t BTreeSet<Identity>,
    is_marked: &'t dyn Fn(i32) -> bool,
}

/// Takes a process, its group and all that descends from it out.
fn leave_out(processes: &mut Vec<Stat>, spared: i32) {
    let mut pids = BTreeSet::from([spared]);
    loop {
        let before = pids.len();
        let below = processes.iter().filter(|stat| stat.group == spared || pids.contains(&stat.parent));
        let below: Vec<i32> = below.map(|stat| stat.pid).collect();
        pids.extend(below);
        if pids.len() == before {
            break;
        }
    }
    processes.retain(|stat| !pids.contains(&stat.pid));
}

/// The living processes of the run, out of all.
fn members(processes: &[Stat], belonging: &Belonging<'_>) -> BTreeSet<Identity> {
    let leader = belonging.leader;
    let number_has_passed_on = processes.iter().any(|stat| stat.pid == leader.pid && stat.identity() != leader);
    let group = belonging.group.filter(|_| !number_has_passed_on);
    // Nothing of the run is older than its command: strangers need not be looked into.
    let young_enough = |stat: &&Stat| stat.is_alive && leader.started.is_none_or(|started| stat.started >= started);
    let candidates: Vec<&Stat> = processes.iter().filter(young_enough).collect();
    let by_itself = |stat: &&&Stat| {
        stat.identity() == leader
            || Some(stat.group) == group
            || Some(stat.parent) == belonging.ancestor
            || belonging.known.contains(&stat.identity())
            || (belonging.is_marked)(stat.pid)
    };
    let mut members: BTreeSet<Identity> = candidates.iter().filter(by_itself).map(|stat| stat.identity()).collect();
    loop {
        let pids: BTreeSet<i32> = members.iter().map(|member| member.pid).collect();
        let children = candidates.iter().filter(|stat| pids.contains(&stat.parent)).map(|stat| stat.identity());
        let before = members.len();
        members.extend(children);
        if members.len() == before {
            return members;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEADER: Identity = Identity { pid: 100, started: Some(50) };

    fn process(pid: i32, parent: i32, group: i32) -> Stat {
        Stat { pid, parent, group, started: 60, is_alive: true }
    }

    fn pids(processes: &[Stat], group: Option<i32>, known: &[Identity], marked: &[i32]) -> Vec<i32> {
        let known = known.iter().copied().collect();
        let is_marked = |pid| marked.contains(&pid);
        let belonging = Belonging { leader: LEADER, group, ancestor: Some(90), known: &known, is_marked: &is_marked };
        members(processes, &belonging).into_iter().map(|member| member.pid).collect()
    }

    #[test]
    fn group_marker_memory_descent_and_the_supervisor_all_make_a_member() {
        let processes = [
            Stat { started: 50, ..process(100, 1, 100) },
            process(101, 1, 100),
            process(102, 1, 102),
            process(103, 1, 103),
            process(104, 103, 104),
            process(105, 104, 105),
            process(106, 1, 106),
            process(107, 90, 107),
        ];
        let known = [Identity { pid: 103, started: Some(60) }];
        assert_eq!(pids(&processes, Some(100), &known, &[102]), [100, 101, 102, 103, 104, 105, 107]);
    }

    #[test]
    fn a_number_that_has_passed_to_another_process_draws_in_nobody() {
        let stranger = Stat { started: 70, ..process(100, 1, 100) };
        let processes = [stranger, process(101, 100, 100)];
        assert_eq!(pids(&processes, Some(100), &[], &[]), [0; 0]);
        let known = [Identity { pid: 101, started: Some(59) }];
        assert_eq!(pids(&processes, None, &known, &[]), [0; 0]);
    }

    #[test]
    fn what_is_left_out_is_left_out_with_its_group_and_its_descendants() {
        let mut processes = vec![
            process(101, 90, 100),
            process(204, 203, 204),
            process(203, 200, 203),
            process(200, 90, 200),
            process(201, 90, 200),
        ];
        leave_out(&mut processes, 200);
        assert_eq!(pids(&processes, Some(100), &[], &[]), [101]);
    }

    #[test]
    fn zombies_and_older_processes_are_left_alone() {
        let zombie = Stat { is_alive: false, ..process(101, 100, 100) };
        let older = Stat { started: 40, ..process(102, 1, 100) };
        assert_eq!(pids(&[zombie, older], Some(100), &[], &[102]), [0; 0]);
    }
}

//! Pools that come and go while the daemon lives.
//!
//! What has to be done is worked out apart from doing it. A pool that is left takes nothing new; its other loops go on until
//! its live runs are over. One that is asked for in another way is opened anew in the same place, so that its live runs count
//! for its limit, and goes on as before until that has worked.

use tracing::Instrument as _;
use worker_core::handle::PluginKind;

use super::Daemon;
use super::opening::Openings;
use crate::live_runs::PoolIndex;
use crate::operator::{PlannedPool, Standing};
use crate::plan::PoolPlan;
use crate::registry::KINDS;

/// How a pool is that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is served, or being opened.
    Asked,
    /// It could not be served.
    Refused,
    /// It is being left.
    Left,
}

/// What has to be done.
#[derive(Clone, Debug, PartialEq)]
enum Move {
    /// It was not there.
    Add(PoolPlan),
    /// It is asked for no more.
    Leave(PoolIndex),
    /// Only what can be changed in place is different.
    Adjust(PoolIndex, PoolPlan),
    /// It is to be opened anew.
    Renew(PoolIndex, PoolPlan),
}

/// Works out what makes the pools that there are into those that are wanted.
fn moves(present: &[(PoolIndex, PoolPlan, State)], wanted: Vec<PoolPlan>) -> Vec<Move> {
    let is = |one: &PoolPlan, other: &PoolPlan| one.workspace == other.workspace && one.pool == other.pool;
    let mut moves: Vec<Move> = present
        .iter()
        .filter(|(_, plan, state)| *state != State::Left && !wanted.iter().any(|wanted| is(plan, wanted)))
        .map(|(index, ..)| Move::Leave(*index))
        .collect();
    for wanted in wanted {
        let Some((index, plan, state)) = present.iter().find(|(_, plan, _)| is(plan, &wanted)) else {
            moves.push(Move::Add(wanted));
            continue;
        };
        // The name of a worker does not change while it lives.
        let wanted = PoolPlan { worker_name: plan.worker_name.clone(), ..wanted };
        let in_place = PoolPlan { limit: wanted.limit, ..plan.clone() };
        if *state != State::Asked || in_place != wanted {
            moves.push(Move::Renew(*index, wanted));
        } else if *plan != wanted {
            moves.push(Move::Adjust(*index, wanted));
        }
    }
    moves
}

impl Daemon {
    /// Asks for these pools from now on.
    pub(super) fn ask_for(&mut self, plans: Vec<PoolPlan>, opening: &mut Openings) {
        self.asked.send_replace(plans.into_iter().filter_map(|plan| self.at_its_api(plan)).collect());
        self.rearrange(opening);
    }

    /// Serves what is asked for and there.
    pub(super) fn rearrange(&mut self, opening: &mut Openings) {
        let of = |pool: PlannedPool| {
            let state = match *pool.standing.borrow() {
                Standing::Opening | Standing::Served { .. } => State::Asked,
                Standing::Refused(_) => State::Refused,
                Standing::Left { .. } => State::Left,
            };
            (pool.index, PoolPlan::clone(&pool.plan), state)
        };
        let present: Vec<_> = self.shared.pools.all().into_iter().map(of).collect();
        let stays: Vec<PoolPlan> = present.iter().map(|(_, plan, _)| plan.clone()).collect();
        let is_built_in = |kind: &PluginKind| KINDS.contains(&kind.as_str());
        let wanted = self.discovered.wanted(&self.asked.borrow(), &stays, is_built_in);
        for wanted in moves(&present, wanted) {
            match wanted {
                Move::Add(plan) => {
                    tracing::info!("work pool '{}' is served from now on", plan.place());
                    let planned = self.plan_pool(plan);
                    opening.push(self.opening(&planned));
                }
                Move::Leave(index) => self.leave(index),
                Move::Adjust(index, plan) => self.replace(index, |pool| pool.adjusted(plan)),
                Move::Renew(index, plan) => {
                    self.replace(index, |pool| pool.renewed(plan));
                    let renewed = self.shared.pools.all().into_iter().find(|pool| pool.index == index);
                    opening.extend(renewed.map(|planned| self.opening(&planned)));
                }
            }
        }
    }

    /// The plan with the place that its API has here. The settings may have others by now, which need a restart.
    fn at_its_api(&self, plan: PoolPlan) -> Option<PoolPlan> {
        let at = self.workspaces.iter().find(|workspace| workspace.name == plan.workspace_name);
        if at.is_none() {
            let place = plan.place();
            tracing::warn!("work pool '{place}' is served only after a restart, which its workspace needs");
        }
        at.map(|workspace| PoolPlan { workspace: workspace.index, ..plan })
    }

    fn replace(&self, index: PoolIndex, with: impl FnOnce(&PlannedPool) -> PlannedPool) {
        if let Some(pool) = self.shared.pools.all().iter().find(|pool| pool.index == index) {
            self.shared.pools.replace(with(pool));
        }
    }

    /// Takes nothing more of a pool, and forgets it once its live runs are over.
    fn leave(&self, index: PoolIndex) {
        let Some(planned) = self.shared.pools.all().into_iter().find(|pool| pool.index == index) else { return };
        let served = self.served.iter().find(|served| served.index() == index);
        let worker = served.map(|served| served.pool.settings.worker_name.clone()).unwrap_or_default();
        let live = self.shared.live.clone();
        let place = planned.plan.place();
        tracing::info!("work pool '{place}' is left; {} live runs of it are seen to their end", live.count(index));
        planned.standing.send_replace(Standing::Left { worker });
        planned.last_poll.retire();
        self.shared.budget.waits_no_more(index);
        if let Some(served) = served {
            served.intake.cancel();
        }
        let (over, stop) = (self.over.clone(), self.stop.clone());
        let span = self.workspace(index.workspace).map_or_else(tracing::Span::none, super::Workspace::span);
        let emptied = async move {
            live.until_empty(index).await;
            if over.send(index).await.is_err() {
                tracing::debug!("the daemon stops before the pool is over");
            }
        };
        self.loops.spawn(async move { stop.run_until_cancelled(emptied).await }.instrument(span));
    }

    /// A pool that was left has no live run any more.
    pub(super) fn is_over(&mut self, index: PoolIndex) {
        let left = self.shared.pools.all().into_iter().find(|pool| pool.index == index && pool.is_left());
        let Some(left) = left else { return };
        if self.shared.live.count(index) > 0 {
            return;
        }
        self.shared.pools.remove(index);
        if let Some(at) = self.served.iter().position(|served| served.index() == index) {
            let served = self.served.remove(at);
            served.stop.cancel();
            served.pool.events.emit(served.pool.lifecycle_event("stopped", Some(&served.started)));
        }
        tracing::info!("work pool '{}' is served no more", left.plan.place());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live_runs::WorkspaceIndex;

    fn plan(pool: &str) -> PoolPlan {
        PoolPlan { pool: pool.to_owned(), ..PoolPlan::of_tests() }
    }

    fn index(number: usize) -> PoolIndex {
        PoolIndex::new(WorkspaceIndex(0), number)
    }

    fn present(pools: &[(&str, State)]) -> Vec<(PoolIndex, PoolPlan, State)> {
        pools.iter().enumerate().map(|(at, (name, state))| (index(at), plan(name), *state)).collect()
    }

    #[test]
    fn pools_are_added_and_left_and_what_stays_is_not_touched() {
        let there = present(&[("a", State::Asked), ("b", State::Asked)]);
        assert_eq!(moves(&there, vec![plan("b"), plan("c")]), [Move::Leave(index(0)), Move::Add(plan("c"))]);
        assert_eq!(moves(&there, vec![plan("b"), plan("a")]), []);
    }

    #[test]
    fn a_limit_changes_in_place_and_anything_else_opens_the_pool_anew() {
        let there = present(&[("a", State::Asked)]);
        let limited = PoolPlan { limit: Some(3), ..plan("a") };
        assert_eq!(moves(&there, vec![limited.clone()]), [Move::Adjust(index(0), limited.clone())]);
        let queues = PoolPlan { work_queues: vec!["high".to_owned()], ..limited };
        assert_eq!(moves(&there, vec![queues.clone()]), [Move::Renew(index(0), queues)]);
    }

    #[test]
    fn a_pool_that_was_refused_or_left_is_opened_anew_in_its_place() {
        for state in [State::Refused, State::Left] {
            assert_eq!(moves(&present(&[("a", state)]), vec![plan("a")]), [Move::Renew(index(0), plan("a"))]);
        }
        assert_eq!(moves(&present(&[("a", State::Left)]), Vec::new()), [], "it is being left already");
    }

    #[test]
    fn a_pool_of_the_same_name_in_another_workspace_is_another_pool() {
        let there = present(&[("a", State::Asked)]);
        let other = PoolPlan { workspace: WorkspaceIndex(1), workspace_name: Some("w".to_owned()), ..plan("a") };
        assert_eq!(moves(&there, vec![plan("a"), other.clone()]), [Move::Add(other)]);
    }

    #[test]
    fn the_name_of_a_worker_is_no_reason_to_open_a_pool_anew() {
        let named = PoolPlan { worker_name: Some("w".to_owned()), ..plan("a") };
        assert_eq!(moves(&present(&[("a", State::Asked)]), vec![named]), []);
    }
}

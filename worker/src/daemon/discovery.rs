//! Pools by pattern: which pools of an API have a name that is asked for.
//!
//! One loop for each API, so that one that does not answer keeps nobody from the pools of another. What is asked for and what
//! was found make the pools that are wanted, which is worked out apart from asking.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use central_api_client::Client;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use wildmatch::WildMatchPattern;
use worker_core::handle::PluginKind;

use crate::live_runs::WorkspaceIndex;
use crate::plan::PoolPlan;
use crate::pool::{Trouble, pace};

/// A pool that an API has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundPool {
    pub(super) name: String,
    pub(super) kind: String,
}

/// All pools that an API has.
pub(super) struct Found {
    pub(super) workspace: WorkspaceIndex,
    pub(super) pools: Vec<FoundPool>,
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Discovered {
    pools: HashMap<WorkspaceIndex, Vec<FoundPool>>,
    /// Pools of kinds that are not built in and of which that has been said.
    said: HashSet<(WorkspaceIndex, String)>,
}

/// Whether a name stands for several. Question marks do occur in names of pools.
pub(super) fn is_pattern(name: &str) -> bool {
    name.contains('*')
}

fn matches(plan: &PoolPlan, workspace: WorkspaceIndex, name: &str) -> bool {
    plan.workspace == workspace
        && is_pattern(&plan.pool)
        && WildMatchPattern::<'*', '\0'>::new(&plan.pool).matches(name)
}

/// The plan of a pool whose name a pattern matches.
pub(super) fn of_pattern(asked: &[PoolPlan], workspace: WorkspaceIndex, name: &str) -> Option<PoolPlan> {
    let pattern = asked.iter().find(|plan| matches(plan, workspace, name))?;
    // It is there, or was: a pattern makes none.
    Some(PoolPlan { pool: name.to_owned(), create_pool_if_not_found: false, ..pattern.clone() })
}

impl Discovered {
    /// Whether every API that is asked for patterns has been heard of.
    pub(super) fn is_complete(&self, asked: &[PoolPlan]) -> bool {
        asked.iter().filter(|plan| is_pattern(&plan.pool)).all(|plan| self.pools.contains_key(&plan.workspace))
    }

    pub(super) fn note(&mut self, found: Found) {
        self.pools.insert(found.workspace, found.pools);
    }

    /// The pools that are wanted: those that are asked for by name, and those that were found and match. A pool that a pattern
    /// matches too is what its own name says. What is there already of an API that has not told its pools yet stays.
    pub(super) fn wanted(
        &mut self,
        asked: &[PoolPlan],
        present: &[PoolPlan],
        is_built_in: impl Fn(&PluginKind) -> bool,
    ) -> Vec<PoolPlan> {
        let mut wanted: Vec<PoolPlan> = asked.iter().filter(|plan| !is_pattern(&plan.pool)).cloned().collect();
        let mut add = |workspace: WorkspaceIndex, name: &str| {
            let is_there = wanted.iter().any(|plan| plan.workspace == workspace && plan.pool == name);
            let found = of_pattern(asked, workspace, name).filter(|_| !is_there);
            wanted.extend(found);
        };
        for (workspace, pools) in &self.pools {
            for FoundPool { name, kind } in pools {
                let Some(plan) = of_pattern(asked, *workspace, name) else { continue };
                if plan.kind.as_ref().is_some_and(|only| only != kind) {
                    continue;
                }
                if is_built_in(&PluginKind::new(kind.as_str())) {
                    add(*workspace, name);
                } else if self.said.insert((*workspace, name.clone())) {
                    tracing::warn!(
                        "work pool '{}' matches '{}' and is left out: this worker cannot execute its type '{kind}'",
                        plan.place(),
                        asked.iter().find(|it| matches(it, *workspace, name)).map_or("", |it| it.pool.as_str()),
                    );
                }
            }
        }
        for plan in present.iter().filter(|plan| !self.pools.contains_key(&plan.workspace)) {
            add(plan.workspace, &plan.pool);
        }
        wanted
    }
}

/// The loop of one API.
pub(super) struct Discovery {
    pub(super) client: Client,
    pub(super) workspace: WorkspaceIndex,
    /// What is asked for.
    pub(super) asked: watch::Receiver<Vec<PoolPlan>>,
    pub(super) found: mpsc::Sender<Found>,
}

impl Discovery {
    /// Looks until told to stop, while a pattern is asked for.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let looking = async {
            let mut trouble = Trouble::new("list the work pools");
            loop {
                let pause = match self.interval() {
                    None => Duration::MAX,
                    Some(interval) => match self.client.work_pools().await {
                        Ok(pools) => {
                            trouble.worked();
                            let pools =
                                pools.into_iter().map(|pool| FoundPool { name: pool.name, kind: pool.pool_type });
                            let found = Found { workspace: self.workspace, pools: pools.collect() };
                            if self.found.send(found).await.is_err() {
                                return;
                            }
                            pace::jittered(interval)
                        }
                        Err(error) => pace::after_failure(trouble.failed(&error), interval, error.retry_after()),
                    },
                };
                // Changed settings may ask for other patterns.
                drop(tokio::time::timeout(pause, self.asked.changed()).await);
            }
        };
        let _stopped = stop.run_until_cancelled(looking).await;
    }

    /// Mean time between two looks; none while there is nothing to look for.
    fn interval(&mut self) -> Option<Duration> {
        let asked = self.asked.borrow_and_update();
        let mut patterns = asked.iter().filter(|plan| plan.workspace == self.workspace && is_pattern(&plan.pool));
        patterns.next().map(|plan| plan.heartbeat_interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: WorkspaceIndex = WorkspaceIndex(0);

    fn plan(pool: &str) -> PoolPlan {
        PoolPlan { pool: pool.to_owned(), ..PoolPlan::of_tests() }
    }

    fn discovered(pools: &[(&str, &str)]) -> Discovered {
        let mut discovered = Discovered::default();
        let of = |(name, kind): &(&str, &str)| FoundPool { name: (*name).to_owned(), kind: (*kind).to_owned() };
        discovered.note(Found { workspace: HERE, pools: pools.iter().map(of).collect() });
        discovered
    }

    fn wanted(discovered: &mut Discovered, asked: &[PoolPlan], present: &[PoolPlan]) -> Vec<String> {
        let is_built_in = |kind: &PluginKind| kind.as_str() == "process";
        let mut names: Vec<String> =
            discovered.wanted(asked, present, is_built_in).into_iter().map(|plan| plan.pool).collect();
        names.sort();
        names
    }

    #[test]
    fn pools_that_match_are_served_if_their_type_is_built_in() {
        let mut found = discovered(&[("team-a", "process"), ("team-b", "ecs"), ("other", "process")]);
        assert_eq!(wanted(&mut found, &[plan("team-*")], &[]), ["team-a"]);
        assert_eq!(wanted(&mut found, &[plan("team-*"), plan("named")], &[]), ["named", "team-a"]);
        let only = PoolPlan { kind: Some("docker".to_owned()), ..plan("*") };
        assert_eq!(wanted(&mut found, &[only], &[]), Vec::<String>::new());
    }

    #[test]
    fn a_pool_that_is_named_is_what_its_name_says() {
        let named = PoolPlan { limit: Some(1), ..plan("team-a") };
        let asked = [plan("team-*"), named.clone()];
        let all = discovered(&[("team-a", "process")]).wanted(&asked, &[], |_| true);
        assert_eq!(all, [named]);
    }

    #[test]
    fn a_pattern_makes_no_pool_and_gives_its_settings_to_each() {
        let pattern = PoolPlan { limit: Some(2), ..plan("team-*") };
        let all = discovered(&[("team-a", "process")]).wanted(&[pattern], &[], |_| true);
        let [only] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!((only.limit, only.create_pool_if_not_found), (Some(2), false));
    }

    #[test]
    fn what_is_there_stays_until_its_api_has_told_its_pools() {
        let asked = [plan("team-*")];
        assert_eq!(wanted(&mut Discovered::default(), &asked, &[plan("team-a"), plan("other")]), ["team-a"]);
        assert_eq!(wanted(&mut discovered(&[]), &asked, &[plan("team-a")]), Vec::<String>::new());
        assert!(!Discovered::default().is_complete(&asked) && discovered(&[]).is_complete(&asked));
    }
}

//! Whether the daemon could take a run now, and what is in the way.

use tokio::sync::watch;

use super::Backends;
use crate::live_runs::LiveRuns;
use crate::liveness::Liveness;
use crate::operator::{Course, DaemonState, Health, PoolStatus, Pools, Standing};

/// What readiness is judged by. All parts are shared with those who keep them.
#[derive(Clone, Debug)]
pub struct Readiness {
    /// How far the daemon is.
    pub course: watch::Receiver<Course>,
    /// Whether the operator lets nothing new be taken.
    pub cordoned: watch::Receiver<bool>,
    /// The pools.
    pub pools: Pools,
    /// All live runs.
    pub live: LiveRuns,
    /// All loops.
    pub liveness: Liveness,
    /// What runs are started with.
    pub backends: Backends,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Whether a run could be taken from at least one pool.
    pub(super) is_ready: bool,
    /// What is in the way, also of pools beside one that is well.
    pub(super) reasons: Vec<String>,
}

impl Readiness {
    /// Looks at everything once.
    pub(super) async fn look(&self) -> Found {
        let state = DaemonState::of(*self.course.borrow(), *self.cordoned.borrow());
        let mut obstacles = Vec::new();
        for pool in self.pools.all().iter().filter(|pool| !pool.is_left()) {
            let plugin = match &*pool.standing.borrow() {
                Standing::Served { plugin, .. } => Some(std::sync::Arc::clone(plugin)),
                Standing::Opening | Standing::Refused(_) | Standing::Left { .. } => None,
            };
            let backend = match plugin {
                Some(plugin) => {
                    let trouble = self.backends.trouble(&*plugin).await;
                    trouble.map(|trouble| format!("{} cannot be used: {trouble}", plugin.kind()))
                }
                None => None,
            };
            let status = pool.status(&self.live);
            let in_the_way = obstacle(&status).or(backend);
            obstacles.push(in_the_way.map(|obstacle| format!("work pool '{}': {obstacle}", pool.plan.place())));
        }
        judge(state, &self.liveness.stalled(), obstacles)
    }
}

/// One broken pool does not keep the others from their work, so the daemon is ready while one is well. A daemon that is
/// drained or cordoned is alive and takes nothing; one with a loop that hangs is about to be restarted.
fn judge(state: DaemonState, stalled: &[String], of_pools: Vec<Option<String>>) -> Found {
    let of_daemon = match state {
        DaemonState::Serving => None,
        DaemonState::Cordoned => Some("the worker is cordoned: it takes no new runs".to_owned()),
        DaemonState::Draining => Some("the worker is stopping: it takes no new runs".to_owned()),
    };
    let hang = stalled.iter().map(|name| format!("a loop hangs: {name}"));
    let none = of_pools.is_empty().then(|| "no work pool is served".to_owned());
    let is_ready = of_daemon.is_none() && stalled.is_empty() && of_pools.iter().any(Option::is_none);
    Found {
        is_ready,
        reasons: of_daemon.into_iter().chain(none).chain(hang).chain(of_pools.into_iter().flatten()).collect(),
    }
}

/// What keeps runs of a pool from being taken, if it is not its own wish: a paused pool is well.
fn obstacle(pool: &PoolStatus) -> Option<String> {
    let detail = || pool.detail.clone().unwrap_or_default();
    match pool.health {
        Health::Ok | Health::Paused | Health::Left => None,
        Health::Opening => Some("the API has not said yet what it is".to_owned()),
        Health::Missing => Some("it does not exist at the API".to_owned()),
        Health::Refused => Some(format!("it is not served: {}", detail())),
        Health::Unanswered => {
            let seconds = pool.last_poll_seconds.unwrap_or_default();
            Some(format!("the API has answered no poll for {seconds:.0} s"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(health: Health) -> PoolStatus {
        PoolStatus {
            name: "p".to_owned(),
            workspace: None,
            priority: 100,
            worker: None,
            live: 0,
            slots: 0,
            limit: None,
            last_poll_seconds: Some(42.0),
            health,
            hold: None,
            detail: Some("no such kind".to_owned()),
        }
    }

    #[test]
    fn a_worker_is_ready_while_one_of_its_pools_is_well_and_says_what_is_wrong_with_the_others() {
        let found = judge(DaemonState::Serving, &[], vec![None, Some("work pool 'b': gone".to_owned())]);
        assert_eq!(found, Found { is_ready: true, reasons: vec!["work pool 'b': gone".to_owned()] });
        assert!(!judge(DaemonState::Serving, &[], vec![Some("gone".to_owned())]).is_ready);
    }

    #[test]
    fn a_worker_that_takes_nothing_or_hangs_is_not_ready_and_says_why() {
        for (state, why) in [(DaemonState::Cordoned, "cordoned"), (DaemonState::Draining, "stopping")] {
            let found = judge(state, &[], vec![None]);
            assert!(!found.is_ready && found.reasons[0].contains(why), "{found:?}");
        }
        let found = judge(DaemonState::Serving, &["repair".to_owned()], vec![None]);
        assert_eq!(found, Found { is_ready: false, reasons: vec!["a loop hangs: repair".to_owned()] });
    }

    #[test]
    fn what_keeps_a_pool_is_said_and_a_pause_is_no_obstacle() {
        assert_eq!((obstacle(&pool(Health::Ok)), obstacle(&pool(Health::Paused))), (None, None));
        assert_eq!(obstacle(&pool(Health::Unanswered)).unwrap(), "the API has answered no poll for 42 s");
        assert_eq!(obstacle(&pool(Health::Refused)).unwrap(), "it is not served: no such kind");
        assert!(obstacle(&pool(Health::Opening)).is_some() && obstacle(&pool(Health::Missing)).is_some());
    }
}

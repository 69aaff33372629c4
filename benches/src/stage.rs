//! The API in memory with a pool, and what happened there.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use central_api_wire::state::StateType;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use worker_core::ids::{DeploymentId, RunId};
use worker_tests::api::model::Run;
use worker_tests::api::store::{NewDeployment, NewPool, Tables};
use worker_tests::api::{ApiOptions, TestApi};
use worker_tests::harness::{command_variables, process_template};

use crate::figures::Tally;
use crate::subject::Running;

/// Time between two looks at what the worker has done.
const LOOK: Duration = Duration::from_millis(10);

/// The pool's name.
pub(crate) const POOL: &str = "measured";
/// The event with which every worker announces that a run's infrastructure has ended.
const EXECUTED: &str = "prefect.worker.executed-flow-run";

/// An API with one pool of type process.
pub(crate) struct Stage {
    api: TestApi,
    seen: Mutex<Seen>,
}

/// What was asked of the API so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    /// HTTP requests.
    pub(crate) requests: usize,
    /// TCP connections.
    pub(crate) connections: u64,
}

/// What was seen of the API's logs. Each entry is looked at once: to go through all of them every few milliseconds would cost
/// more than the API itself.
#[derive(Default)]
struct Seen {
    events: usize,
    requests: usize,
    first_poll: Option<Timestamp>,
    /// Runs whose process was told of: when first, and how often.
    started: HashMap<String, (Timestamp, usize)>,
    /// Runs whose end was announced, and how often.
    executed: HashMap<String, usize>,
}

impl Seen {
    fn look(&mut self, tables: &Tables) {
        for request in tables.requests().get(self.requests..).unwrap_or_default() {
            if self.first_poll.is_none() && request.path.ends_with("/get_scheduled_flow_runs") {
                self.first_poll = Some(request.at);
            }
            if let Some(run) = request.path.strip_prefix("/flow_runs/")
                && request.body.get("infrastructure_pid").is_some_and(Value::is_string)
            {
                self.started.entry(run.to_owned()).or_insert((request.at, 0)).1 += 1;
            }
        }
        self.requests = tables.requests().len();
        let events = tables.events().get(self.events..).unwrap_or_default();
        for stored in events.iter().filter(|stored| stored.event.event == EXECUTED) {
            let resources = stored.event.related.iter().filter_map(|related| related.get("prefect.resource.id"));
            for run in resources.filter_map(|id| id.strip_prefix("prefect.flow-run.")) {
                *self.executed.entry(run.to_owned()).or_default() += 1;
            }
        }
        self.events = tables.events().len();
    }
}

impl Stage {
    /// An API with empty tables, but for the pool.
    pub(crate) async fn new() -> Self {
        let api = TestApi::start(ApiOptions::default()).await.expect("the system gives ports");
        let pool = NewPool { base_job_template: process_template(), ..NewPool::new(POOL, "process") };
        api.store().create_pool(pool).expect("a first pool of that name");
        Self { api, seen: Mutex::default() }
    }

    /// Its address.
    pub(crate) fn url(&self) -> &str {
        self.api.url().as_str().trim_end_matches('/')
    }

    /// A deployment whose runs execute a command, which stands in the place of Prefect's engine and reports nothing.
    pub(crate) fn engine(&self, command: &str) -> DeploymentId {
        self.deployment(Map::from_iter([("command".to_owned(), json!(command))]))
    }

    /// A deployment whose runs execute a command; a worker that can reports for it.
    pub(crate) fn command(&self, command: &str) -> DeploymentId {
        self.deployment(command_variables(command))
    }

    fn deployment(&self, job_variables: Map<String, Value>) -> DeploymentId {
        let store = self.api.store();
        let flow = store.create_flow("measured");
        let deployment = NewDeployment { job_variables, ..NewDeployment::new(flow, "measured", POOL) };
        store.create_deployment(deployment).expect("the flow and the pool exist")
    }

    /// Makes runs that are due now.
    pub(crate) fn due(&self, deployment: DeploymentId, runs: usize) -> Vec<RunId> {
        (0..runs).map(|_| self.api.store().schedule_run(deployment).expect("the deployment exists")).collect()
    }

    /// Asks for a run to be cancelled, as a user does.
    pub(crate) fn cancel(&self, run: RunId) {
        drop(self.api.store().cancel_run(run));
    }

    /// What was asked so far.
    pub(crate) fn traffic(&self) -> Traffic {
        self.api
            .store()
            .read(|tables| Traffic { requests: tables.requests().len(), connections: tables.connections().accepted })
    }

    fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        self.api.store().read(|tables| seen.look(tables));
        look(&seen)
    }

    /// When the first poll came.
    pub(crate) fn first_poll(&self) -> Option<Timestamp> {
        self.seen(|seen| seen.first_poll)
    }

    /// How many runs have had a process.
    pub(crate) fn started(&self) -> usize {
        self.seen(|seen| seen.started.len())
    }

    /// How many runs are over, as far as the worker has announced it.
    pub(crate) fn executed(&self) -> usize {
        self.seen(|seen| seen.executed.len())
    }

    /// How many runs are in a state.
    pub(crate) fn in_state(&self, state: &StateType) -> usize {
        self.count(|run| run.state_type() == Some(state))
    }

    /// How many runs are in a state that ends them.
    pub(crate) fn ended(&self) -> usize {
        self.count(|run| run.state_type().is_some_and(StateType::is_terminal))
    }

    fn count(&self, is_so: impl Fn(&Run) -> bool) -> usize {
        self.api.store().read(|tables| tables.runs().filter(|run| is_so(run)).count())
    }

    /// When a run was made.
    pub(crate) fn made(&self, run: RunId) -> Option<Timestamp> {
        self.api.store().read(|tables| tables.run(run).ok().map(|run| run.created))
    }

    /// How many requests there were of each kind, ids left out, most frequent first.
    pub(crate) fn kinds_of_requests(&self) -> Vec<(String, usize)> {
        let mut kinds: HashMap<String, usize> = HashMap::new();
        self.api.store().read(|tables| {
            for request in tables.requests() {
                *kinds.entry(format!("{} {}", request.method, without_ids(&request.path))).or_default() += 1;
            }
        });
        let mut kinds: Vec<_> = kinds.into_iter().collect();
        kinds.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        kinds
    }

    /// Seconds from the first poll until each process was started, as told by the worker; sorted.
    pub(crate) fn waits(&self) -> Vec<f64> {
        let mut waits: Vec<f64> = self.seen(|seen| {
            let Some(first) = seen.first_poll else { return Vec::new() };
            seen.started.values().map(|(at, _)| at.duration_since(first).as_secs_f64()).collect()
        });
        waits.sort_by(f64::total_cmp);
        waits
    }

    /// Looks for what must not be, once all should have been executed.
    pub(crate) fn tally(&self, runs: &[RunId]) -> Tally {
        let ended = self.seen(|seen| runs.iter().filter(|id| seen.executed.contains_key(&id.to_string())).count());
        Tally { lost: runs.len() - ended, ..self.tally_of_live(runs) }
    }

    /// The same while they are still executed: a run is lost that has no process.
    pub(crate) fn tally_of_live(&self, runs: &[RunId]) -> Tally {
        let mut tally = Tally { runs: runs.len(), crashed: self.in_state(&StateType::Crashed), ..Tally::default() };
        self.seen(|seen| {
            for id in runs.iter().map(ToString::to_string) {
                let started = seen.started.get(&id).map_or(0, |(_, times)| *times);
                let executed = seen.executed.get(&id).copied().unwrap_or(0);
                tally.lost += usize::from(started == 0);
                tally.doubled += usize::from(started > 1 || executed > 1);
            }
        });
        tally
    }

    /// Waits until `is_so`; false when the bound is over, or the worker has ended, before that.
    pub(crate) async fn until(&self, worker: &mut Running, bound: Duration, is_so: impl Fn(&Self) -> bool) -> bool {
        let begun = Instant::now();
        while !is_so(self) {
            if begun.elapsed() > bound || worker.has_ended() {
                return false;
            }
            tokio::time::sleep(LOOK).await;
        }
        true
    }
}

fn without_ids(path: &str) -> String {
    let is_id = |part: &str| part.len() == 36 && part.bytes().filter(|byte| *byte == b'-').count() == 4;
    path.split('/').map(|part| if is_id(part) { "{id}" } else { part }).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_one_kind_are_counted_together() {
        let id = "123e4567-e89b-12d3-a456-426614174000";
        assert_eq!(without_ids(&format!("/flow_runs/{id}/set_state")), "/flow_runs/{id}/set_state");
        assert_eq!(without_ids("/work_pools/measured"), "/work_pools/measured");
    }

    #[tokio::test]
    async fn a_run_without_a_process_is_lost() {
        let stage = Stage::new().await;
        let runs = stage.due(stage.engine("true"), 2);
        assert_eq!(stage.tally(&runs), Tally { runs: 2, lost: 2, doubled: 0, crashed: 0 });
    }
}

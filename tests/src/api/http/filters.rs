//! Filters of the `…/filter` endpoints, as far as workers and flow processes use them.

use std::cmp::Reverse;

use central_api_wire::state::StateType;
use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use uuid::Uuid;
use worker_core::ids::{DeploymentId, FlowId, RunId, WorkPoolId, WorkQueueId};

use crate::api::model::Run;
use crate::api::store::Tables;

/// A page of a list.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Page {
    limit: Option<usize>,
    offset: Option<usize>,
}

/// Pages end here.
const LONGEST_PAGE: usize = 200;

impl Page {
    /// Cuts the page out of all there is.
    pub(super) fn of<T>(self, all: impl Iterator<Item = T>) -> Vec<T> {
        all.skip(self.offset.unwrap_or(0)).take(self.limit.unwrap_or(LONGEST_PAGE).min(LONGEST_PAGE)).collect()
    }
}

/// The rest of a filter. A filter that is ignored finds too much, so one that is set and not known here is refused.
#[derive(Clone, Debug, Default)]
struct NothingElse;

impl<'de> Deserialize<'de> for NothingElse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rest = Map::<String, Value>::deserialize(deserializer)?;
        let unknown = rest.iter().find(|(key, value)| !value.is_null() && *key != "operator");
        unknown.map_or(Ok(Self), |(key, _)| Err(D::Error::custom(format!("the filter {key} is not supported"))))
    }
}

/// One of these, none of those. An empty `any_` matches nothing.
#[derive(Clone, Debug, Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
pub(super) struct Choice<T> {
    any_: Option<Vec<T>>,
    not_any_: Option<Vec<T>>,
    #[serde(flatten)]
    _rest: NothingElse,
}

impl<T: PartialEq> Choice<T> {
    pub(super) fn holds(&self, value: &T) -> bool {
        self.any_.as_ref().is_none_or(|any| any.contains(value))
            && self.not_any_.as_ref().is_none_or(|none| !none.contains(value))
    }
}

/// A filter by id and name.
#[derive(Clone, Debug, Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
pub(super) struct Named<T> {
    id: Option<Choice<T>>,
    name: Option<Choice<String>>,
    #[serde(flatten)]
    _rest: NothingElse,
}

impl<T: PartialEq> Named<T> {
    pub(super) fn holds(&self, id: &T, name: &String) -> bool {
        holds(self.id.as_ref(), Some(id)) && holds(self.name.as_ref(), Some(name))
    }
}

/// `POST /flow_runs/filter`. Its filters narrow each other.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RunsFilter {
    flows: Option<Named<FlowId>>,
    flow_runs: Option<RunFilter>,
    deployments: Option<Named<DeploymentId>>,
    work_pools: Option<Named<WorkPoolId>>,
    work_pool_queues: Option<Named<WorkQueueId>>,
    sort: Option<Sort>,
    limit: Option<usize>,
    offset: Option<usize>,
    #[serde(flatten)]
    _rest: NothingElse,
}

/// The order of runs. Orders that nobody asks for here leave them as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Sort {
    ExpectedStartTimeAsc,
    ExpectedStartTimeDesc,
    NextScheduledStartTimeAsc,
    #[serde(other)]
    Other,
}

#[derive(Clone, Debug, Deserialize)]
struct RunFilter {
    id: Option<Choice<RunId>>,
    name: Option<Choice<String>>,
    state: Option<StateFilter>,
    deployment_id: Option<Choice<DeploymentId>>,
    parent_task_run_id: Option<Choice<Uuid>>,
    next_scheduled_start_time: Option<Span>,
    #[serde(flatten)]
    _rest: NothingElse,
}

/// Times from one to another, both included.
#[derive(Clone, Debug, Deserialize)]
struct Span {
    after_: Option<Timestamp>,
    before_: Option<Timestamp>,
    #[serde(flatten)]
    _rest: NothingElse,
}

impl Span {
    fn holds(&self, time: Option<Timestamp>) -> bool {
        self.after_.is_none_or(|after| time.is_some_and(|time| time >= after))
            && self.before_.is_none_or(|before| time.is_some_and(|time| time <= before))
    }
}

#[derive(Clone, Debug, Deserialize)]
struct StateFilter {
    #[serde(rename = "type")]
    state_type: Option<Choice<StateType>>,
    name: Option<Choice<String>>,
    #[serde(flatten)]
    _rest: NothingElse,
}

impl RunsFilter {
    /// The runs of the page that is asked for.
    pub(super) fn page<'a>(&self, tables: &'a Tables) -> Vec<&'a Run> {
        let mut found: Vec<&Run> = tables.runs().filter(|run| self.holds(tables, run)).collect();
        match self.sort {
            Some(Sort::ExpectedStartTimeAsc) => found.sort_by_key(|run| run.expected_start_time),
            Some(Sort::NextScheduledStartTimeAsc) => found.sort_by_key(|run| run.next_scheduled_start_time),
            Some(Sort::ExpectedStartTimeDesc) => found.sort_by_key(|run| Reverse(run.expected_start_time)),
            Some(Sort::Other) | None => {}
        }
        Page { limit: self.limit, offset: self.offset }.of(found.into_iter())
    }

    pub(super) fn holds(&self, tables: &Tables, run: &Run) -> bool {
        let flow = tables.flow(run.flow_id).ok();
        let deployment = run.deployment_id.and_then(|id| tables.deployment(id).ok());
        let queue = run.work_queue_id.and_then(|id| tables.queue_by_id(id));
        let pool = queue.and_then(|queue| tables.pool_by_id(queue.work_pool_id));
        self.flow_runs.as_ref().is_none_or(|filter| filter.holds(run))
            && named(self.flows.as_ref(), flow.map(|row| (&row.id, &row.name)))
            && named(self.deployments.as_ref(), deployment.map(|row| (&row.id, &row.name)))
            && named(self.work_pool_queues.as_ref(), queue.map(|row| (&row.id, &row.name)))
            && named(self.work_pools.as_ref(), pool.map(|row| (&row.id, &row.name)))
    }
}

fn named<T: PartialEq>(filter: Option<&Named<T>>, row: Option<(&T, &String)>) -> bool {
    filter.is_none_or(|filter| row.is_some_and(|(id, name)| filter.holds(id, name)))
}

impl RunFilter {
    fn holds(&self, run: &Run) -> bool {
        holds(self.id.as_ref(), Some(&run.id))
            && holds(self.name.as_ref(), Some(&run.name))
            && holds(self.deployment_id.as_ref(), run.deployment_id.as_ref())
            && holds(self.parent_task_run_id.as_ref(), run.parent_task_run_id.as_ref())
            && self.next_scheduled_start_time.as_ref().is_none_or(|span| span.holds(run.next_scheduled_start_time))
            && self.state.as_ref().is_none_or(|filter| {
                holds(filter.state_type.as_ref(), run.state_type())
                    && holds(filter.name.as_ref(), Some(&run.state_name().to_owned()))
            })
    }
}

fn holds<T: PartialEq>(choice: Option<&Choice<T>>, value: Option<&T>) -> bool {
    choice.is_none_or(|choice| value.is_some_and(|value| choice.holds(value)))
}

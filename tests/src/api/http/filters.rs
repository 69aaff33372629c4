//! Filters of the `…/filter` endpoints, as far as workers and flow processes use them.

use central_api_wire::state::StateType;
use serde::Deserialize;
use worker_core::ids::{DeploymentId, FlowId, RunId};

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

/// One of these, none of those. An empty `any_` matches nothing.
#[derive(Clone, Debug, Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
pub(super) struct Choice<T> {
    any_: Option<Vec<T>>,
    not_any_: Option<Vec<T>>,
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
    pub(super) id: Option<Choice<T>>,
    pub(super) name: Option<Choice<String>>,
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
    #[serde(flatten)]
    pub(super) page: Page,
}

#[derive(Clone, Debug, Deserialize)]
struct RunFilter {
    id: Option<Choice<RunId>>,
    name: Option<Choice<String>>,
    state: Option<StateFilter>,
    deployment_id: Option<Choice<DeploymentId>>,
}

#[derive(Clone, Debug, Deserialize)]
struct StateFilter {
    #[serde(rename = "type")]
    state_type: Option<Choice<StateType>>,
    name: Option<Choice<String>>,
}

impl RunsFilter {
    pub(super) fn holds(&self, tables: &Tables, run: &Run) -> bool {
        let deployment = run.deployment_id.and_then(|id| tables.deployment(id).ok());
        let flow = tables.flow(run.flow_id).ok();
        self.flow_runs.as_ref().is_none_or(|filter| filter.holds(run))
            && self
                .deployments
                .as_ref()
                .is_none_or(|filter| deployment.is_some_and(|row| filter.holds(&row.id, &row.name)))
            && self.flows.as_ref().is_none_or(|filter| flow.is_some_and(|row| filter.holds(&row.id, &row.name)))
    }
}

impl RunFilter {
    fn holds(&self, run: &Run) -> bool {
        holds(self.id.as_ref(), Some(&run.id))
            && holds(self.name.as_ref(), Some(&run.name))
            && holds(self.deployment_id.as_ref(), run.deployment_id.as_ref())
            && self.state.as_ref().is_none_or(|filter| {
                holds(filter.state_type.as_ref(), run.state_type())
                    && holds(filter.name.as_ref(), Some(&run.state_name().to_owned()))
            })
    }
}

fn holds<T: PartialEq>(choice: Option<&Choice<T>>, value: Option<&T>) -> bool {
    choice.is_none_or(|choice| value.is_some_and(|value| choice.holds(value)))
}

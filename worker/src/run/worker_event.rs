//! The events that a worker emits, as values.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use central_api_wire::CLIENT_VERSION;
use central_api_wire::deployment::Deployment;
use central_api_wire::event::{Event, Resource};
use central_api_wire::flow_run::{Flow, FlowRun};
use central_api_wire::work_pool::WorkPool;
use code_storage::plan::StepRecord;
use infra_contract::Occurrence;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;
use worker_core::handle::PluginKind;
use worker_core::ids::{LaunchKey, RunId};
use worker_core::slug::slugify;

use super::kept_resource::{KeptResource, SharedResources};

/// Events further apart than this are not linked: the server would wait for the first one in vain.
const FOLLOWS_WITHIN_MINUTES: i64 = 5;

/// The resource of a worker's own events.
pub fn worker_resource(name: &str, kind: &PluginKind) -> Resource {
    BTreeMap::from([
        ("prefect.resource.id".to_owned(), format!("prefect.worker.{kind}.{}", slugify(name))),
        ("prefect.resource.name".to_owned(), name.to_owned()),
        ("prefect.version".to_owned(), CLIENT_VERSION.to_owned()),
        ("prefect.worker-type".to_owned(), kind.to_string()),
    ])
}

/// The pool as a related resource.
pub fn work_pool_related(pool: &WorkPool) -> Resource {
    related("work-pool", pool.id, &pool.name)
}

/// `prefect.worker.started` or `prefect.worker.stopped`.
pub fn lifecycle_event(what: &str, resource: Resource, pool: Option<&WorkPool>, follows: Option<&Event>) -> Event {
    let related = pool.map(work_pool_related).into_iter().collect();
    event(&format!("prefect.worker.{what}"), resource, related, follows)
}

/// How a pull step ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum StepEnd {
    Executed,
    Failed,
}

/// `prefect.flow-run.pull-step.executed` or `.failed`, as the flow's own process emits it for the steps that it runs.
pub(super) fn pull_step_event(run: RunId, deployment: &Deployment, step: &StepRecord, end: StepEnd) -> Event {
    let name = match end {
        StepEnd::Executed => "prefect.flow-run.pull-step.executed",
        StepEnd::Failed => "prefect.flow-run.pull-step.failed",
    };
    let resource = BTreeMap::from([("prefect.resource.id".to_owned(), format!("prefect.flow-run.{run}"))]);
    let related = vec![related("deployment", deployment.id, &deployment.name)];
    let mut event = event(name, resource, related, None);
    // The record is plain data, so it always has a JSON form.
    if let Ok(Value::Object(payload)) = serde_json::to_value(step) {
        event.payload = payload;
    }
    event
}

fn related(role: &str, id: impl std::fmt::Display, name: &str) -> Resource {
    BTreeMap::from([
        ("prefect.resource.id".to_owned(), format!("prefect.{role}.{id}")),
        ("prefect.resource.role".to_owned(), role.to_owned()),
        ("prefect.resource.name".to_owned(), name.to_owned()),
    ])
}

fn event(name: &str, resource: Resource, related: Vec<Resource>, follows: Option<&Event>) -> Event {
    let occurred = Timestamp::now();
    let follows = follows.and_then(|earlier| linked(occurred, earlier.occurred, earlier.id));
    Event { occurred, event: name.to_owned(), resource, related, payload: Map::new(), id: Uuid::now_v7(), follows }
}

/// The id of the earlier event, if the later one may name it.
fn linked(occurred: Timestamp, earlier: Timestamp, id: Uuid) -> Option<Uuid> {
    (occurred.duration_since(earlier) < SignedDuration::from_mins(FOLLOWS_WITHIN_MINUTES)).then_some(id)
}

/// What is remembered of a `prefect.worker.submitted-flow-run`. The rest of it is in the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Submitted {
    id: Uuid,
    occurred: Timestamp,
}

impl Submitted {
    pub(super) const fn of(event: &Event) -> Self {
        Self { id: event.id, occurred: event.occurred }
    }
}

/// What the events of one run are about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct RunSubject {
    resource: KeptResource,
    /// Deployment, flow, flow run, tags, work pool: in this order.
    related: Arc<[KeptResource]>,
}

impl RunSubject {
    pub(super) fn new(
        shared: &SharedResources,
        worker: Resource,
        deployment: Option<&Deployment>,
        flow: &Flow,
        run: &FlowRun,
        pool: &WorkPool,
    ) -> Self {
        let tags: BTreeSet<&String> =
            deployment.into_iter().flat_map(|deployment| &deployment.tags).chain(&flow.tags).chain(&run.tags).collect();
        let mut found: Vec<KeptResource> = Vec::new();
        let deployment = deployment.map(|deployment| related("deployment", deployment.id, &deployment.name));
        found.extend(deployment.map(|deployment| shared.one_of(deployment)));
        found.push(shared.one_of(related("flow", flow.id, &flow.name)));
        found.push(related("flow-run", run.id, &run.name).into());
        found.extend(tags.into_iter().map(|tag| {
            shared.one_of(BTreeMap::from([
                ("prefect.resource.id".to_owned(), format!("prefect.tag.{tag}")),
                ("prefect.resource.role".to_owned(), "tag".to_owned()),
            ]))
        }));
        found.push(shared.one_of(work_pool_related(pool)));
        Self { resource: shared.one_of(worker), related: found.into() }
    }

    fn related(&self) -> Vec<Resource> {
        self.related.iter().map(KeptResource::resource).collect()
    }

    /// `prefect.worker.submitted-flow-run`.
    pub(super) fn submitted(&self, key: LaunchKey) -> Event {
        let event = event("prefect.worker.submitted-flow-run", self.resource.resource(), self.related(), None);
        Event { id: key.derived("submitted"), ..event }
    }

    /// `prefect.worker.executed-flow-run`: the flow run's entry says which infrastructure ended, and how.
    ///
    /// Its id is that of the execution: the server takes a repetition by a later process for what it is.
    pub(super) fn executed(
        &self,
        key: LaunchKey,
        infrastructure: &str,
        status_code: i32,
        submitted: Option<Submitted>,
    ) -> Event {
        let mut related = self.related();
        let run =
            related.iter_mut().find(|entry| entry.get("prefect.resource.role").is_some_and(|role| role == "flow-run"));
        if let Some(run) = run {
            run.insert("prefect.infrastructure.identifier".to_owned(), infrastructure.to_owned());
            run.insert("prefect.infrastructure.status-code".to_owned(), status_code.to_string());
        }
        let event = event("prefect.worker.executed-flow-run", self.resource.resource(), related, None);
        let follows = submitted.and_then(|submitted| linked(event.occurred, submitted.occurred, submitted.id));
        Event { id: key.derived("executed"), follows, ..event }
    }

    /// What a plugin tells of the infrastructure: the worker that watches it is the last of what it relates to.
    pub(super) fn occurred(&self, occurrence: Occurrence) -> Event {
        let mut worker = self.resource.resource();
        worker.insert("prefect.resource.role".to_owned(), "worker".to_owned());
        let related = match occurrence.related {
            ref said if said.is_empty() => self.related().into_iter().chain([worker]).collect(),
            said => said,
        };
        Event {
            occurred: occurrence.occurred,
            event: occurrence.event,
            resource: occurrence.resource,
            related,
            payload: Map::new(),
            id: occurrence.id,
            follows: occurrence.follows,
        }
    }

    /// An event of this worker about infrastructure that could not be made.
    pub(super) fn failed_launch(&self, name: &str) -> Event {
        event(name, self.resource.resource(), self.related(), None)
    }

    /// `prefect.runner.cancelled-flow-run`, under the resource that Prefect's process worker uses for it.
    pub(super) fn cancelled(&self, key: LaunchKey) -> Event {
        let runner = BTreeMap::from([
            ("prefect.resource.id".to_owned(), "prefect.runner.standalone".to_owned()),
            ("prefect.resource.name".to_owned(), "standalone".to_owned()),
            ("prefect.version".to_owned(), CLIENT_VERSION.to_owned()),
        ]);
        let without_pool =
            |entry: &&KeptResource| entry.get("prefect.resource.role").is_none_or(|role| role != "work-pool");
        let related = self.related.iter().filter(without_pool).map(KeptResource::resource).collect();
        let event = event("prefect.runner.cancelled-flow-run", runner, related, None);
        Event { id: key.derived("cancelled"), ..event }
    }
}

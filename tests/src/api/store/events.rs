//! Events: an append-only log. Whoever streams them keeps a position in it, so nothing is ever dropped.

use std::collections::{BTreeMap, BTreeSet};

use central_api_wire::event::{Event, Resource};
use central_api_wire::state::{State, StateType};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use uuid::Uuid;
use worker_core::ids::RunId;

use super::Tables;
use crate::api::model::Run;

mod query;

pub use query::EventQuery;

/// An event as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent {
    /// The event.
    pub event: Event,
    /// When it was received.
    pub received: Timestamp,
}

/// Two state changes further apart than this are not linked: their order is plain.
const LINKED_WITHIN: SignedDuration = SignedDuration::from_mins(5);

impl Tables {
    /// Stores an event, unless its id is known.
    pub(crate) fn add_event(&mut self, event: Event, now: Timestamp) {
        if self.event_ids.insert(event.id) {
            self.events.push(StoredEvent { event, received: now });
        }
    }

    /// Tells that a run has changed its state; the event has the id of the state.
    pub(super) fn tell_state_change(&mut self, id: RunId, before: Option<&State>, now: Timestamp) {
        let Some(event) = self.runs.get(&id).and_then(|run| self.state_change(run, before, now)) else { return };
        self.add_event(event, now);
    }

    fn state_change(&self, run: &Run, before: Option<&State>, now: Timestamp) -> Option<Event> {
        let state = run.state()?;
        let linked =
            before.filter(|before| before.timestamp.is_some_and(|then| now.duration_since(then) < LINKED_WITHIN));
        let type_of = |state: Option<&State>| state.map(|state| state.state_type.as_str().to_owned());
        let payload = json!({
            "intended": {"from": type_of(before), "to": type_of(Some(state))},
            "initial_state": before.map(summary),
            "validated_state": summary(state),
        });
        Some(Event {
            occurred: now,
            event: format!("prefect.flow-run.{}", state.name()),
            resource: resource([
                ("prefect.resource.id", format!("prefect.flow-run.{}", run.id)),
                ("prefect.resource.name", run.name.clone()),
                ("prefect.run-count", run.run_count.to_string()),
                ("prefect.state-message", state.message.clone().unwrap_or_default()),
                ("prefect.state-name", state.name().to_owned()),
                ("prefect.state-timestamp", now.strftime("%Y-%m-%dT%H:%M:%S%.f+00:00").to_string()),
                ("prefect.state-type", state.state_type.as_str().to_owned()),
            ]),
            related: self.related_to(run),
            payload: payload.as_object().cloned().unwrap_or_default(),
            id: state.id.map_or_else(Uuid::now_v7, |id| id.0),
            follows: linked.and_then(|state| state.id).map(|id| id.0),
        })
    }

    /// What a run's events concern besides the run: flow, deployment, queue, pool, and all tags.
    fn related_to(&self, run: &Run) -> Vec<Resource> {
        let mut tags: BTreeSet<&str> = run.tags.iter().map(String::as_str).collect();
        let mut related = Vec::new();
        let mut add = |kind: &str, id: String, name: &str| related.push(named(kind, &id, name));
        if let Some(flow) = self.flows.get(&run.flow_id) {
            tags.extend(flow.tags.iter().map(String::as_str));
            add("flow", flow.id.to_string(), &flow.name);
        }
        if let Some(deployment) = run.deployment_id.and_then(|id| self.deployments.get(&id)) {
            tags.extend(deployment.tags.iter().map(String::as_str));
            add("deployment", deployment.id.to_string(), &deployment.name);
        }
        if let Some(queue) = run.work_queue_id.and_then(|id| self.queues.get(&id)) {
            add("work-queue", queue.id.to_string(), &queue.name);
            if let Some(pool) = self.pools.get(&queue.work_pool_id) {
                add("work-pool", pool.id.to_string(), &pool.name);
                if let Some(resource) = related.last_mut() {
                    resource.insert("prefect.work-pool.type".to_owned(), pool.pool_type.clone());
                }
            }
        }
        related.extend(tags.into_iter().map(|tag| {
            resource([
                ("prefect.resource.id", format!("prefect.tag.{tag}")),
                ("prefect.resource.role", "tag".to_owned()),
            ])
        }));
        related
    }
}

fn named(kind: &str, id: &str, name: &str) -> Resource {
    resource([
        ("prefect.resource.id", format!("prefect.{kind}.{id}")),
        ("prefect.resource.role", kind.to_owned()),
        ("prefect.resource.name", name.to_owned()),
    ])
}

fn resource<const N: usize>(labels: [(&str, String); N]) -> Resource {
    labels.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<BTreeMap<_, _>>()
}

/// The essential parts of a state, in words.
fn summary(state: &State) -> Value {
    let mut parts = Map::from_iter([
        ("type".to_owned(), state.state_type.as_str().into()),
        ("name".to_owned(), state.name().into()),
    ]);
    if let Some(message) = state.message.as_deref().filter(|message| !message.is_empty()) {
        parts.insert("message".to_owned(), message.into());
    }
    if state.state_type == StateType::Paused {
        let reschedule = state.state_details.pause_reschedule.unwrap_or(false);
        parts.insert("pause_reschedule".to_owned(), reschedule.to_string().into());
    }
    Value::Object(parts)
}

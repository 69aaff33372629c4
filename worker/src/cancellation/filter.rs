//! What the API is asked for: the events of a pool, and the cancelled ones among the live runs; and what an event says.

use std::str::FromStr;

use central_api_wire::event::{AnyResourceFilter, Event, EventFilter, EventNameFilter, OccurredFilter, Resource};
use central_api_wire::flow_run::{AnyOf, FlowRunFilter, FlowRunsFilterRequest, StateFilter};
use central_api_wire::state::StateType;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use worker_core::ids::{RunId, WorkPoolId};

use crate::pool::Announcement;

const CANCELLING: &str = "prefect.flow-run.Cancelling";
/// The names of a run that waits to be executed. `AwaitingConcurrencySlot` is left out: such a run is due half a minute later,
/// and polled for again and again it would only keep the server busy.
const SCHEDULED: [&str; 4] = [
    "prefect.flow-run.Scheduled",
    "prefect.flow-run.Late",
    "prefect.flow-run.AwaitingRetry",
    "prefect.flow-run.Resuming",
];
/// A stream begins a little in the past: an event reaches the server's streams some time after it occurred.
const BACKFILL: SignedDuration = SignedDuration::from_mins(1);
/// What is older when it arrives is no news: it is the stream's repetition of the past.
const NEWS: SignedDuration = SignedDuration::from_secs(10);
const FAR: SignedDuration = SignedDuration::from_hours(24 * 365);

/// The cancellations of one pool's runs; and, if wanted, that they become Scheduled.
pub(super) fn events(pool: WorkPoolId, scheduled_too: bool) -> EventFilter {
    let now = Timestamp::now();
    let scheduled = SCHEDULED.iter().filter(|_| scheduled_too);
    let names = std::iter::once(&CANCELLING).chain(scheduled).map(|name| (*name).to_owned()).collect();
    EventFilter {
        occurred: Some(OccurredFilter {
            since: now.checked_sub(BACKFILL).unwrap_or(now),
            until: now.checked_add(FAR).unwrap_or(now),
        }),
        event: Some(EventNameFilter { name: Some(names) }),
        any_resource: Some(AnyResourceFilter { id: Some(vec![format!("prefect.work-pool.{pool}")]) }),
        order: None,
    }
}

/// Those of the live runs that are being cancelled, or were while they ran.
pub(super) fn cancelling_runs(live: Vec<RunId>) -> FlowRunsFilterRequest {
    FlowRunsFilterRequest {
        flow_runs: Some(FlowRunFilter {
            id: Some(AnyOf { any_: live }),
            state: Some(StateFilter {
                state_type: Some(AnyOf { any_: vec![StateType::Cancelling, StateType::Cancelled] }),
                name: None,
            }),
            ..FlowRunFilter::default()
        }),
        ..FlowRunsFilterRequest::default()
    }
}

/// The run that an event says is being cancelled.
pub(super) fn cancelled_run(event: &Event) -> Option<RunId> {
    (event.event == CANCELLING).then(|| run_of(event)).flatten()
}

/// What an event says about a run that became Scheduled in one of the queues; none named means all.
pub(super) fn announcement(event: &Event, queues: &[String], now: Timestamp) -> Option<Announcement> {
    if !SCHEDULED.contains(&event.event.as_str()) || !is_in_one_of(event, queues) {
        return None;
    }
    let before = event.payload.get("initial_state").and_then(|state| state.get("type")).and_then(Value::as_str);
    Some(Announcement {
        run: run_of(event)?,
        deployment: related(event, "deployment").and_then(|deployment| id_of(deployment, "prefect.deployment.")),
        is_news: now.duration_since(event.occurred) < NEWS,
        comes_back: before.is_some_and(|before| before != StateType::Scheduled.as_str()),
    })
}

/// Whether an event is about a queue of these names. One that names no queue is not known to be about another.
fn is_in_one_of(event: &Event, queues: &[String]) -> bool {
    let queue = related(event, "work-queue").and_then(|queue| queue.get("prefect.resource.name"));
    queues.is_empty() || queue.is_none_or(|queue| queues.contains(queue))
}

fn run_of(event: &Event) -> Option<RunId> {
    id_of(&event.resource, "prefect.flow-run.")
}

fn related<'e>(event: &'e Event, role: &str) -> Option<&'e Resource> {
    event.related.iter().find(|resource| resource.get("prefect.resource.role").is_some_and(|its| its == role))
}

fn id_of<I: FromStr>(resource: &Resource, kind: &str) -> Option<I> {
    resource.get("prefect.resource.id")?.strip_prefix(kind)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;
    use worker_core::ids::DeploymentId;

    use super::*;

    #[test]
    fn c118_the_stream_is_filtered_by_the_pool_and_the_questions_by_the_live_runs() {
        let pool = WorkPoolId(Uuid::from_u128(5));
        let filter = serde_json::to_value(events(pool, false)).unwrap();
        assert_eq!(filter["any_resource"]["id"], json!([format!("prefect.work-pool.{pool}")]));
        assert_eq!(filter["event"]["name"], json!(["prefect.flow-run.Cancelling"]));
        let both = serde_json::to_value(events(pool, true)).unwrap();
        assert_eq!(both["any_resource"], filter["any_resource"]);
        assert_eq!(both["event"]["name"][0], "prefect.flow-run.Cancelling");
        let run = RunId(Uuid::from_u128(6));
        let question = serde_json::to_value(cancelling_runs(vec![run])).unwrap();
        assert_eq!(question["flow_runs"]["id"]["any_"], json!([run]));
    }

    #[test]
    fn only_the_cancelling_event_of_a_run_names_a_run() {
        let event = |name: &str, resource: &str| -> Event {
            serde_json::from_value(json!({
                "occurred": "2026-11-21T01:00:00Z", "event": name, "id": Uuid::nil(),
                "resource": {"prefect.resource.id": resource},
            }))
            .unwrap()
        };
        let id = RunId(Uuid::from_u128(6));
        let resource = format!("prefect.flow-run.{id}");
        assert_eq!(cancelled_run(&event(CANCELLING, &resource)), Some(id));
        assert_eq!(cancelled_run(&event("prefect.flow-run.Running", &resource)), None);
        assert_eq!(cancelled_run(&event(CANCELLING, "prefect.flow-run.not-a-uuid")), None);
        assert_eq!(cancelled_run(&event(CANCELLING, "prefect.deployment.x")), None);
    }

    #[test]
    fn an_event_tells_which_run_became_scheduled_whether_just_now_and_whether_for_the_first_time() {
        let now: Timestamp = "2026-11-21T01:00:00Z".parse().unwrap();
        let (id, deployment) = (RunId(Uuid::from_u128(6)), Some(DeploymentId(Uuid::from_u128(7))));
        let event = |name: &str, before: Value, occurred: &str| -> Event {
            serde_json::from_value(json!({
                "occurred": occurred, "event": format!("prefect.flow-run.{name}"), "id": Uuid::nil(),
                "resource": {"prefect.resource.id": format!("prefect.flow-run.{id}")},
                "related": [
                    {
                        "prefect.resource.id": "prefect.work-queue.q", "prefect.resource.role": "work-queue",
                        "prefect.resource.name": "urgent",
                    },
                    {
                        "prefect.resource.id": format!("prefect.deployment.{}", Uuid::from_u128(7)),
                        "prefect.resource.role": "deployment",
                    },
                ],
                "payload": {"initial_state": before},
            }))
            .unwrap()
        };
        let told = |name: &str, before: Value, occurred: &str, queue: &str| {
            announcement(&event(name, before, occurred), &[queue.to_owned()], now)
        };
        let created = told("Scheduled", Value::Null, "2026-11-21T00:59:59Z", "urgent");
        assert_eq!(created, Some(Announcement { run: id, deployment, is_news: true, comes_back: false }));
        let late = told("Late", json!({"type": "SCHEDULED"}), "2026-11-21T00:59:49Z", "urgent");
        assert_eq!(late, Some(Announcement { run: id, deployment, is_news: false, comes_back: false }));
        let retried = told("AwaitingRetry", json!({"type": "RUNNING"}), "2026-11-21T01:00:01Z", "urgent");
        assert_eq!(retried, Some(Announcement { run: id, deployment, is_news: true, comes_back: true }));
        assert_eq!(told("Scheduled", Value::Null, "2026-11-21T00:59:59Z", "whenever"), None);
        assert_eq!(told("Running", Value::Null, "2026-11-21T00:59:59Z", "urgent"), None);
        let all = announcement(&event("Scheduled", Value::Null, "2026-11-21T00:59:59Z"), &[], now);
        assert_eq!(all, created);
    }
}

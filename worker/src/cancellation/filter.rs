//! What the API is asked for: the events of a pool, and the cancelled ones among the live runs.

use central_api_wire::event::{AnyResourceFilter, Event, EventFilter, EventNameFilter, OccurredFilter};
use central_api_wire::flow_run::{AnyOf, FlowRunFilter, FlowRunsFilterRequest, StateFilter};
use central_api_wire::state::StateType;
use jiff::{SignedDuration, Timestamp};
use worker_core::ids::{RunId, WorkPoolId};

const CANCELLING: &str = "prefect.flow-run.Cancelling";
/// A stream begins a little in the past: an event reaches the server's streams some time after it occurred.
const BACKFILL: SignedDuration = SignedDuration::from_mins(1);
const FAR: SignedDuration = SignedDuration::from_hours(24 * 365);

/// The cancellations of one pool's runs.
pub(super) fn cancelling_events(pool: WorkPoolId) -> EventFilter {
    let now = Timestamp::now();
    EventFilter {
        occurred: Some(OccurredFilter {
            since: now.checked_sub(BACKFILL).unwrap_or(now),
            until: now.checked_add(FAR).unwrap_or(now),
        }),
        event: Some(EventNameFilter { name: Some(vec![CANCELLING.to_owned()]) }),
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
        }),
        ..FlowRunsFilterRequest::default()
    }
}

/// The run that an event says is being cancelled.
pub(super) fn cancelled_run(event: &Event) -> Option<RunId> {
    let id = event.resource.get("prefect.resource.id")?.strip_prefix("prefect.flow-run.")?;
    (event.event == CANCELLING).then(|| id.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn c118_the_stream_is_filtered_by_the_pool_and_the_questions_by_the_live_runs() {
        let pool = WorkPoolId(Uuid::from_u128(5));
        let filter = serde_json::to_value(cancelling_events(pool)).unwrap();
        assert_eq!(filter["any_resource"]["id"], json!([format!("prefect.work-pool.{pool}")]));
        assert_eq!(filter["event"]["name"], json!(["prefect.flow-run.Cancelling"]));
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
}

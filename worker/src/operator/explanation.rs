//! Why a run is not executed here, from what is visible of it.

use std::time::Duration;

use central_api_wire::flow_run::FlowRun;
use central_api_wire::state::StateType;
use central_api_wire::work_pool::{WorkPool, WorkQueue};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::tables::span;
use crate::admission::Hold;

/// What is known.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// The run as the API has it.
    pub(super) run: FlowRun,
    /// The time.
    pub(super) now: Timestamp,
    /// The names of the pools that this daemon serves.
    pub(super) served: Vec<String>,
    /// The run's pool, if it is one of them.
    pub(super) here: Option<Here>,
    /// Nothing new is taken.
    pub(super) is_cordoned: bool,
    /// The daemon stops.
    pub(super) is_stopping: bool,
}

/// What is known of a pool that is served here.
#[derive(Clone, Debug, Default)]
pub(super) struct Here {
    /// Why it cannot be served.
    pub(super) refused: Option<String>,
    /// The pool as it is at the API.
    pub(super) pool: Option<WorkPool>,
    /// The run's queue as it is at the API.
    pub(super) queue: Option<WorkQueue>,
    /// The queues that are asked for; none means all.
    pub(super) queues: Vec<String>,
    /// How long before it is due a run is taken.
    pub(super) prefetch: Duration,
    /// Runs that hold a slot.
    pub(super) slots: usize,
    /// Most of them.
    pub(super) limit: Option<usize>,
    /// Runs of all pools that hold a slot, and the most of them.
    pub(super) budget: Option<(usize, usize)>,
    /// How long ago the last poll was answered.
    pub(super) last_poll: Duration,
    /// Why due runs are left where they are, if they are.
    pub(super) hold: Option<Hold>,
}

/// The name of a run's pool.
pub(super) fn pool_of(run: &FlowRun) -> Option<&str> {
    run.other.get("work_pool_name").and_then(Value::as_str)
}

/// The name of a run's queue.
pub(super) fn queue_of(run: &FlowRun) -> Option<&str> {
    run.other.get("work_queue_name").and_then(Value::as_str)
}

/// Sentences for people, those first that decide most.
pub(super) fn explain(facts: &Facts) -> Vec<String> {
    let mut said = vec![state_of(&facts.run)];
    match &facts.run.state_type {
        Some(StateType::Scheduled) => said.extend(why_not_taken(facts)),
        Some(StateType::Pending | StateType::Running | StateType::Cancelling) => said.push(executed_by(&facts.run)),
        Some(StateType::Paused) => said.push("It goes on when somebody resumes it.".to_owned()),
        _ => {}
    }
    said
}

fn state_of(run: &FlowRun) -> String {
    let Some(state) = &run.state else { return "The API does not say in which state it is.".to_owned() };
    let since = state.timestamp.map_or_else(String::new, |at| format!(" since {at:.0}"));
    let message = state.message.as_deref().filter(|message| !message.is_empty());
    let message = message.map_or_else(String::new, |message| format!(" ({message})"));
    format!("The API has it as {}{since}{message}.", state.name())
}

fn executed_by(run: &FlowRun) -> String {
    let label = |name: &str| run.labels.as_ref().and_then(|labels| labels.get(name)).and_then(Value::as_str);
    let by = label("prefect.worker.name").map_or_else(
        || "Somebody else has taken it".to_owned(),
        |worker| format!("The worker '{worker}' has taken it"),
    );
    match &run.infrastructure_pid {
        Some(id) => format!("{by} and started {id}; it is not executed here."),
        None => format!("{by}; it is not executed here."),
    }
}

fn why_not_taken(facts: &Facts) -> Vec<String> {
    let Some(pool) = pool_of(&facts.run) else {
        return vec!["It belongs to no work pool, so no worker takes it.".to_owned()];
    };
    let Some(here) = &facts.here else {
        return vec![format!(
            "This worker does not serve its work pool '{pool}'. It serves {}.",
            quoted(&facts.served)
        )];
    };
    if let Some(why) = &here.refused {
        return vec![format!("Its work pool '{pool}' cannot be served here: {why}.")];
    }
    let mut reasons = reasons_at_the_api(facts, here, pool);
    reasons.extend(reasons_here(facts, here, pool));
    if reasons.is_empty() {
        let ago = span(here.last_poll);
        reasons.push(format!(
            "Nothing visible keeps it from being taken. '{pool}' was last polled {ago} ago; a limit of the pool, the queue, \
             the deployment or a tag can still make the server hold it back."
        ));
    }
    reasons
}

fn reasons_at_the_api(facts: &Facts, here: &Here, pool: &str) -> Vec<String> {
    let mut reasons = Vec::new();
    match &here.pool {
        None => reasons.push(format!("The work pool '{pool}' does not exist, or the API does not show it.")),
        Some(at_api) if at_api.is_paused => {
            reasons.push(format!("The work pool '{pool}' is paused. `prefect work-pool resume {pool}` ends that."));
        }
        Some(WorkPool { concurrency_limit: Some(most), .. }) => {
            reasons.push(format!("The server offers at most {most} Pending and Running runs of '{pool}' at a time."));
        }
        Some(_) => {}
    }
    if let Some(queue) = &here.queue {
        if queue.is_paused {
            reasons.push(format!("Its work queue '{}' is paused.", queue.name));
        } else if let Some(most) = queue.concurrency_limit {
            reasons.push(format!("The server offers at most {most} runs of the queue '{}' at a time.", queue.name));
        }
    }
    if let Some(due) = facts.run.next_scheduled_start_time {
        let ahead = due.duration_since(facts.now);
        let prefetch = SignedDuration::try_from(here.prefetch).unwrap_or(SignedDuration::MAX);
        if ahead > prefetch {
            let ahead = span(ahead.unsigned_abs());
            reasons.push(format!("It is due in {ahead}, at {due:.0}; it is taken {} before.", span(here.prefetch)));
        }
    }
    if facts.run.state_name.as_deref() == Some("AwaitingConcurrencySlot") {
        reasons.push("The server waits for a free slot of its deployment's concurrency limit.".to_owned());
    }
    reasons
}

fn reasons_here(facts: &Facts, here: &Here, pool: &str) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(queue) = queue_of(&facts.run)
        && !here.queues.is_empty()
        && !here.queues.iter().any(|served| served == queue)
    {
        reasons.push(format!("It is in the queue '{queue}'. This worker takes runs from {}.", quoted(&here.queues)));
    }
    if facts.is_stopping {
        reasons.push("This worker is stopping.".to_owned());
    } else if facts.is_cordoned {
        reasons.push("This worker is cordoned. `worker uncordon` lets it take runs again.".to_owned());
    }
    if let Some(limit) = here.limit
        && here.slots >= limit
    {
        reasons
            .push(format!("This worker's limit for '{pool}' is reached: {} of {limit} slots are taken.", here.slots));
    }
    if let Some((held, most)) = here.budget
        && held >= most
    {
        reasons
            .push(format!("This worker's limit for all pools together is reached: {held} of {most} slots are taken."));
    }
    if let Some(hold) = here.hold {
        reasons.push(format!("Due runs of '{pool}' wait here: {hold}."));
    }
    reasons
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-21T01:00:00Z".parse().unwrap()
    }

    fn run(state: &str, more: &Value) -> FlowRun {
        let mut run = json!({
            "id": Uuid::nil(), "flow_id": Uuid::nil(), "state_type": state, "state": {"type": state},
            "work_pool_name": "p", "work_queue_name": "default",
        });
        run.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(run).unwrap()
    }

    fn here(paused: bool) -> Here {
        let pool = json!({"id": Uuid::nil(), "name": "p", "type": "process", "is_paused": paused});
        Here { pool: Some(serde_json::from_value(pool).unwrap()), ..Here::default() }
    }

    fn facts(state: &str, more: &Value, here: Option<Here>) -> Facts {
        let served = vec!["p".to_owned()];
        Facts { run: run(state, more), now: now(), served, here, is_cordoned: false, is_stopping: false }
    }

    fn explained(facts: &Facts) -> String {
        explain(facts).join(" ")
    }

    #[test]
    fn each_reason_why_a_run_waits_is_named() {
        let scheduled = |more: Value, here: Option<Here>| facts("SCHEDULED", &more, here);
        let due = json!({"next_scheduled_start_time": "2026-11-21T01:12:00Z"});
        let queue = Here { queues: vec!["high".to_owned()], ..here(false) };
        let held = Here { hold: Some(Hold::Memory), ..here(false) };
        let full = Here { slots: 2, limit: Some(2), ..here(false) };
        for (facts, reason) in vec![
            (scheduled(json!({"work_pool_name": null}), None), "belongs to no work pool"),
            (
                scheduled(json!({"work_pool_name": "other"}), None),
                "does not serve its work pool 'other'. It serves 'p'",
            ),
            (scheduled(json!({}), Some(here(true))), "'p' is paused"),
            (scheduled(due, Some(here(false))), "due in 12m"),
            (scheduled(json!({}), Some(queue)), "takes runs from 'high'"),
            (scheduled(json!({}), Some(full)), "2 of 2 slots are taken"),
            (scheduled(json!({}), Some(held)), "Due runs of 'p' wait here: this machine is short of memory"),
            (Facts { is_cordoned: true, ..scheduled(json!({}), Some(here(false))) }, "cordoned"),
            (Facts { is_stopping: true, ..scheduled(json!({}), Some(here(false))) }, "is stopping"),
            (scheduled(json!({}), Some(here(false))), "Nothing visible keeps it"),
        ] {
            let text = explained(&facts);
            assert!(text.contains(reason), "{reason:?} is not in {text:?}");
            assert_eq!(text.contains("Nothing visible"), reason.contains("Nothing visible"), "{text}");
        }
    }

    #[test]
    fn a_pool_that_is_missing_is_named() {
        let text = explained(&facts("SCHEDULED", &json!({}), Some(Here::default())));
        assert!(text.contains("does not exist"), "{text}");
    }

    #[test]
    fn a_limit_of_all_pools_that_is_reached_is_named() {
        let spent =
            |held| explained(&facts("SCHEDULED", &json!({}), Some(Here { budget: Some((held, 9)), ..here(false) })));
        assert!(spent(9).contains("for all pools together is reached: 9 of 9 slots"), "{}", spent(9));
        assert!(!spent(8).contains("for all pools"), "{}", spent(8));
    }

    #[test]
    fn a_run_that_another_worker_executes_says_so() {
        let labels = json!({"labels": {"prefect.worker.name": "w2"}, "infrastructure_pid": "host:7"});
        let text = explained(&facts("RUNNING", &labels, Some(here(false))));
        assert!(text.contains("The worker 'w2' has taken it and started host:7"), "{text}");
        assert!(!text.contains("Nothing visible"), "{text}");
    }

    #[test]
    fn a_run_that_is_over_needs_no_reason() {
        let state =
            json!({"state": {"type": "CRASHED", "message": "Out of memory.", "timestamp": "2026-11-21T00:59:00Z"}});
        let text = explained(&facts("CRASHED", &state, None));
        assert_eq!(text, "The API has it as Crashed since 2026-11-21T00:59:00Z (Out of memory.).");
    }
}

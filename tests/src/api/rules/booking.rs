//! What a decision changes about its run: state, counts, times, policy.

use central_api_wire::state::{State, StateType};
use jiff::Timestamp;
use serde_json::Value;
use worker_core::ids::StateId;

use super::decision::{Decision, Draft, PauseKey};
use super::terminal::UNPERSISTED;
use crate::api::model::Run;

/// Stores a state, rules aside: the first state of a run, or one that the server sets by itself.
pub fn store_unruled(run: &mut Run, draft: Draft, id: StateId, now: Timestamp) {
    let policy = run.policy.clone();
    apply(run, Decision::unruled(draft, policy), id, now);
}

/// Carries out a decision, the slot excepted. `id` is for the state, if one is stored.
pub fn apply(run: &mut Run, decision: Decision, id: StateId, now: Timestamp) {
    run.policy = decision.policy;
    if let Some(draft) = decision.stored {
        let before = run.state().map(|state| (state.state_type.clone(), state.timestamp.unwrap_or(now)));
        book_times(run, &draft, before.as_ref(), now);
        book_tries(run, &draft);
        push_state(run, draft, id, now);
    }
    if let Some(key) = decision.pauses {
        let key = match key {
            PauseKey::Named(key) => key,
            PauseKey::Unnamed => id.to_string(),
        };
        if !run.policy.pause_keys.contains(&key) {
            run.policy.pause_keys.push(key);
        }
    }
    if decision.resumes {
        run.policy.resuming = Some(true);
    }
}

fn push_state(run: &mut Run, draft: Draft, id: StateId, now: Timestamp) {
    let mut details = draft.details;
    details.flow_run_id = Some(run.id);
    let is_persisted = |data: &Value| data.get("type").and_then(Value::as_str) != Some(UNPERSISTED);
    run.updated = now;
    run.history.push(State {
        id: Some(id),
        state_type: draft.state_type,
        name: Some(draft.name),
        timestamp: Some(now),
        message: draft.message,
        data: draft.data.filter(is_persisted),
        state_details: details,
    });
}

fn book_times(run: &mut Run, to: &Draft, before: Option<&(StateType, Timestamp)>, now: Timestamp) {
    let from = before.map(|(state_type, _)| state_type);
    let due = to.details.scheduled_time.filter(|_| to.state_type == StateType::Scheduled);
    if run.expected_start_time.is_none() {
        run.expected_start_time = due.or(Some(now));
    }
    run.next_scheduled_start_time = match (from, &to.state_type) {
        (_, StateType::Scheduled) => due,
        (Some(StateType::Scheduled), _) => None,
        (Some(_) | None, _) => run.next_scheduled_start_time,
    };
    if let Some((StateType::Running, since)) = before {
        run.total_run_time = run.total_run_time.saturating_add(now.duration_since(*since));
    }
    if to.state_type == StateType::Running || to.state_type.is_terminal() {
        run.start_time.get_or_insert(now);
    }
    if to.state_type.is_terminal() {
        run.end_time.get_or_insert(now);
    } else {
        run.end_time = None;
    }
}

/// Coming back from a suspension is not a new try.
fn book_tries(run: &mut Run, to: &Draft) {
    let resuming = run.policy.resuming == Some(true);
    if to.state_type == StateType::Running && !resuming {
        run.run_count += 1;
    }
    if resuming && (to.state_type == StateType::Running || to.state_type.is_terminal()) {
        run.policy.resuming = Some(false);
    }
}

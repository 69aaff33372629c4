//! What a stored state changes about its run: counts, times, policy.

use central_api_wire::state::{State, StateType};
use jiff::Timestamp;
use worker_core::ids::StateId;

use super::decision::{Draft, Verdict};
use super::pausing::pause_key;
use crate::api::model::{Policy, Run};

/// Stores the first state of a run. No rule applies to it.
pub fn first_state(run: &mut Run, draft: Draft, id: StateId, now: Timestamp) {
    let policy = run.policy.clone();
    record(run, draft, &policy, &Verdict::Accept, id, now);
}

/// Stores a state that the rules let through or put in the proposal's place.
pub fn record(run: &mut Run, draft: Draft, policy: &Policy, verdict: &Verdict, id: StateId, now: Timestamp) {
    let before = run.state().map(|state| (state.state_type.clone(), state.timestamp.unwrap_or(now)));
    run.policy.clone_from(policy);
    book_times(run, &draft, before.as_ref(), now);
    book_tries(run, &draft);
    book_pauses(run, &draft, before.as_ref().map(|(state_type, _)| state_type), verdict, id);
    let mut details = draft.details;
    details.flow_run_id = Some(run.id);
    run.updated = now;
    run.history.push(State {
        id: Some(id),
        state_type: draft.state_type,
        name: Some(draft.name),
        timestamp: Some(now),
        message: draft.message,
        data: draft.data,
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

fn book_pauses(run: &mut Run, to: &Draft, from: Option<&StateType>, verdict: &Verdict, id: StateId) {
    if to.state_type == StateType::Paused && *verdict == Verdict::Accept {
        let key = pause_key(&to.details).map_or_else(|| id.to_string(), str::to_owned);
        run.policy.pause_keys.push(key);
    }
    if from == Some(&StateType::Paused) {
        run.policy.resuming = Some(true);
    }
}

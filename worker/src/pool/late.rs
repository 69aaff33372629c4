//! Which late runs are skipped instead of executed. Pure.
//!
//! Only runs that a schedule made and that nobody has started yet: what somebody asked for by hand, what is retried and what was
//! resumed is executed however late it is.

use std::collections::HashMap;
use std::time::Duration;

use central_api_wire::flow_run::FlowRun;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use worker_core::ids::DeploymentId;

/// What becomes of runs that are late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LatePolicy {
    /// All are executed.
    #[default]
    All,
    /// Of those of a deployment that would do the same, the latest is.
    Latest,
    /// Those that were due longer ago are not.
    SkipOlderThan(Duration),
}

/// The states of a run that waits for its time and nothing else.
const WAITS_FOR_ITS_TIME: [&str; 2] = ["Scheduled", "Late"];

/// Whether a run may be skipped at all.
pub fn may_be_skipped(run: &FlowRun) -> bool {
    let flag = |value: Option<&Value>| value.and_then(Value::as_bool).unwrap_or(false);
    let waits = run.state_name.as_deref().is_none_or(|name| WAITS_FOR_ITS_TIME.contains(&name));
    waits
        && flag(run.other.get("auto_scheduled"))
        && !flag(run.empirical_policy.get("resuming"))
        && run.run_count == 0
        && run.start_time.is_none()
        && run.infrastructure_pid.is_none()
}

/// For each run of a poll, in its order, why it is skipped, if it is.
pub fn skips(runs: &[&FlowRun], policy: LatePolicy, now: Timestamp) -> Vec<Option<String>> {
    let is_due = |run: &&FlowRun| run.next_scheduled_start_time.is_some_and(|due| due <= now);
    let candidates = |run: &&FlowRun| is_due(run) && may_be_skipped(run);
    match policy {
        LatePolicy::All => vec![None; runs.len()],
        LatePolicy::SkipOlderThan(most) => {
            let most = SignedDuration::try_from(most).unwrap_or(SignedDuration::MAX);
            let too_late = |run: &&FlowRun| {
                let late = now.duration_since(run.next_scheduled_start_time?);
                (candidates(run) && late > most).then(|| {
                    format!(
                        "Skipped: it was due {} s ago, and runs are skipped after {} s.",
                        late.as_secs(),
                        most.as_secs()
                    )
                })
            };
            runs.iter().map(too_late).collect()
        }
        LatePolicy::Latest => {
            let mut latest: HashMap<(DeploymentId, String), Timestamp> = HashMap::new();
            let same = |run: &FlowRun| {
                let parameters = run.other.get("parameters").map(Value::to_string).unwrap_or_default();
                Some((run.deployment_id?, parameters))
            };
            for run in runs.iter().filter(|run| candidates(run)) {
                let (Some(same), Some(due)) = (same(run), run.next_scheduled_start_time) else { continue };
                let newest = latest.entry(same).or_insert(due);
                *newest = due.max(*newest);
            }
            let superseded = |run: &&FlowRun| {
                let newest = *latest.get(&same(run)?)?;
                let due = run.next_scheduled_start_time?;
                (candidates(run) && due < newest).then(|| {
                    format!("Skipped: a later run of its deployment, that of {newest:.0}, is due as well, and only the latest is executed.")
                })
            };
            runs.iter().map(superseded).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-21T01:00:00Z".parse().unwrap()
    }

    /// A run of a schedule, so many minutes late.
    fn late(minutes: i64, more: &Value) -> FlowRun {
        let due = now() - SignedDuration::from_mins(minutes);
        let mut run = json!({
            "id": Uuid::from_u128(u128::from(minutes.unsigned_abs()) + 1), "name": "r", "flow_id": Uuid::nil(),
            "deployment_id": Uuid::nil(), "state_type": "SCHEDULED", "state_name": "Late", "run_count": 0,
            "auto_scheduled": true, "next_scheduled_start_time": due.to_string(), "parameters": {},
        });
        for (key, value) in more.as_object().unwrap() {
            run[key] = value.clone();
        }
        serde_json::from_value(run).unwrap()
    }

    fn skipped(runs: &[FlowRun], policy: LatePolicy) -> Vec<bool> {
        let runs: Vec<&FlowRun> = runs.iter().collect();
        skips(&runs, policy, now()).iter().map(Option::is_some).collect()
    }

    #[test]
    fn only_the_latest_of_a_deployment_is_executed() {
        let none = json!({});
        let other = json!({"deployment_id": Uuid::from_u128(7)});
        let runs = [late(30, &none), late(20, &none), late(10, &none), late(40, &other)];
        assert_eq!(skipped(&runs, LatePolicy::Latest), [true, true, false, false]);
        assert_eq!(skipped(&runs, LatePolicy::All), [false; 4]);
    }

    #[test]
    fn a_run_that_would_do_something_else_takes_nobodys_place() {
        let runs =
            [late(30, &json!({"parameters": {"tenant": "a"}})), late(20, &json!({"parameters": {"tenant": "b"}}))];
        assert_eq!(skipped(&runs, LatePolicy::Latest), [false, false]);
    }

    #[test]
    fn a_run_that_is_not_due_yet_takes_nobodys_place() {
        let runs = [late(30, &json!({})), late(-1, &json!({"state_name": "Scheduled"}))];
        assert_eq!(skipped(&runs, LatePolicy::Latest), [false, false]);
    }

    #[test]
    fn runs_are_skipped_once_they_are_older_than_the_bound() {
        let runs = [late(61, &json!({})), late(60, &json!({})), late(0, &json!({}))];
        assert_eq!(skipped(&runs, LatePolicy::SkipOlderThan(Duration::from_hours(1))), [true, false, false]);
    }

    #[test]
    fn what_was_started_before_or_by_hand_is_never_skipped() {
        let spared = [
            json!({"auto_scheduled": false}),
            json!({"auto_scheduled": null}),
            json!({"run_count": 1}),
            json!({"start_time": "2026-11-21T00:00:00Z"}),
            json!({"state_name": "AwaitingRetry"}),
            json!({"state_name": "Resuming"}),
            json!({"state_name": "AwaitingConcurrencySlot"}),
            json!({"empirical_policy": {"resuming": true}}),
            json!({"infrastructure_pid": "host:7"}),
        ];
        for more in spared {
            let runs = [late(600, &more), late(1, &json!({}))];
            for policy in [LatePolicy::Latest, LatePolicy::SkipOlderThan(Duration::from_hours(1))] {
                assert_eq!(skipped(&runs, policy), [false, false], "{more} {policy:?}");
            }
        }
        assert_eq!(skipped(&[late(600, &json!({})), late(1, &json!({}))], LatePolicy::Latest), [true, false]);
    }
}

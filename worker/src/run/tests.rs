//! The actor with a fake control plane, the scripted plugin and a paused clock.

mod fake;
mod policy;

use std::time::Duration;

use central_api_client::{ApiError, TransportError, Verdict};
use central_api_wire::state::{State, StateDetails, StateType};
use fake::{Fake, Stage, key, unanswered};
use serde_json::{Value, json};
use uuid::Uuid;
use worker_core::ids::TransitionId;
use worker_core::machine::{CrashCause, Input, Outcome, StopReason};

use crate::run::Ended;

/// Longer than anything in these tests takes on the paused clock, shorter than a hang.
const BOUND: Duration = Duration::from_hours(10);

fn proposed(fake: &Fake) -> Vec<String> {
    fake.proposals().iter().map(|request| request.state.name.clone().unwrap_or_default()).collect()
}

fn last_message(fake: &Fake) -> String {
    fake.proposals().last().and_then(|request| request.state.message.clone()).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_run_that_goes_well_is_claimed_announced_executed_and_left_to_its_engine() {
    let stage = Stage::new(json!({"run_for_ms": 1000}));
    stage.play(BOUND).await;
    assert_eq!(proposed(&stage.fake), ["Pending", "Submitting"]);
    assert_eq!(stage.fake.infra_ids().len(), 1);
    assert_eq!(
        stage.fake.labels(),
        ["prefect.worker.name", "prefect.worker.type", "prefect.work-pool.name", "prefect.work-pool.id"]
    );
    assert!(stage.records().is_empty(), "an ended run stays in the journal");
}

#[tokio::test(start_paused = true)]
async fn submitted_and_executed_events_say_what_ran_and_are_linked() {
    let stage = Stage::new(json!({"exit_code": 3}));
    stage.play(BOUND).await;
    let events = stage.fake.events();
    let names: Vec<&str> = events.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(names, ["prefect.worker.submitted-flow-run", "prefect.worker.executed-flow-run"]);
    let roles: Vec<&str> = events[1].related.iter().map(|related| related["prefect.resource.role"].as_str()).collect();
    assert_eq!(roles, ["deployment", "flow", "flow-run", "tag", "tag", "work-pool"]);
    let run = &events[1].related[2];
    assert_eq!(run["prefect.infrastructure.status-code"], "3");
    assert!(run["prefect.infrastructure.identifier"].starts_with("scripted:"));
    assert_eq!(events[1].follows, Some(events[0].id));
}

#[tokio::test(start_paused = true)]
async fn c053_a_claim_that_has_to_wait_is_asked_again_with_the_same_transition() {
    let stage = Stage::new(json!({}));
    stage.fake.will_answer("Pending", Verdict::Wait { delay: Duration::from_secs(7), reason: None });
    let begun = tokio::time::Instant::now();
    stage.play(BOUND).await;
    assert!(begun.elapsed() >= Duration::from_secs(7));
    let proposals = stage.fake.proposals();
    let transition = |index: usize| proposals[index].state.state_details.transition_id;
    assert_eq!(proposed(&stage.fake), ["Pending", "Pending", "Submitting"]);
    assert_eq!(transition(0), transition(1));
}

#[tokio::test(start_paused = true)]
async fn a_refused_claim_starts_nothing_and_reports_nothing() {
    let stage = Stage::new(json!({}));
    stage.fake.will_answer("Pending", Verdict::Abort { reason: Some("no".to_owned()) });
    assert_eq!(stage.play(BOUND).await, Ended::Refused);
    assert_eq!(proposed(&stage.fake), ["Pending"]);
    assert!(stage.fake.infra_ids().is_empty());
    assert!(stage.fake.log().iter().any(|line| line.contains("Server sent an abort signal: no")));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_deployment_cancels_the_run_by_force() {
    let stage = Stage::new(json!({}));
    stage.fake.delete_deployment();
    stage.play(BOUND).await;
    let proposals = stage.fake.proposals();
    assert_eq!(proposals.len(), 1);
    assert!(proposals[0].force && proposals[0].state.state_type == StateType::Cancelled);
    assert!(last_message(&stage.fake).ends_with("no longer exists, cancelled run."));
}

#[tokio::test(start_paused = true)]
async fn a_bad_job_variable_crashes_the_run_with_the_reason() {
    let stage = Stage::new(json!({"labels": {"a": 1}}));
    stage.play(BOUND).await;
    assert_eq!(proposed(&stage.fake), ["Pending", "Crashed"]);
    let message = last_message(&stage.fake);
    assert!(message.starts_with("Failed to submit flow run to infrastructure: "), "{message}");
    assert!(message.contains("labels"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn an_exit_that_the_engine_accounted_for_is_not_reported() {
    let concluded = json!({"state_reported": {"state_id": null, "state_type": "FAILED"}});
    let stage = Stage::new(json!({"exit_code": 1, "concluded": concluded}));
    stage.play(BOUND).await;
    assert_eq!(proposed(&stage.fake), ["Pending", "Submitting"]);
}

#[tokio::test(start_paused = true)]
async fn a_non_zero_exit_is_reported_as_a_crash_with_its_meaning() {
    let stage = Stage::new(json!({"exit_code": 127}));
    stage.play(BOUND).await;
    assert_eq!(proposed(&stage.fake), ["Pending", "Submitting", "Crashed"]);
    let message = last_message(&stage.fake);
    assert!(message.starts_with("Flow run infrastructure exited with non-zero status code 127. Command not found."));
    assert!(stage.fake.log().iter().any(|line| line.contains("PATH")), "the hint is in the run's log");
}

#[tokio::test(start_paused = true)]
async fn a_command_that_knows_nothing_of_prefect_is_reported_by_the_worker() {
    for (exit_code, last) in [(0, "Completed"), (4, "Failed")] {
        let stage = Stage::new(json!({"report_state": "worker", "exit_code": exit_code, "run_for_ms": 10}));
        stage.play(BOUND).await;
        assert_eq!(proposed(&stage.fake), ["Pending", "Submitting", "Running", last]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_is_killed_and_set_to_cancelled_once() {
    let stage = Stage::new(json!({"run_until_killed": true}));
    let playing = stage.start();
    stage.fake.infra_is_recorded().await;
    stage.fake.set_state_now(State::of_type(StateType::Cancelling));
    for _ in 0..3 {
        stage.tell(Input::Stop(StopReason::Cancelled));
    }
    playing.end(BOUND).await;
    assert_eq!(proposed(&stage.fake), ["Pending", "Submitting", "Cancelled"]);
    assert!(stage.fake.proposals().last().unwrap().force);
    assert!(stage.fake.events().iter().any(|event| event.event == "prefect.runner.cancelled-flow-run"));
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_that_the_engine_finished_is_not_touched() {
    let stage = Stage::new(json!({"run_until_killed": true, "acknowledges_cancel": true}));
    let playing = stage.start();
    stage.fake.infra_is_recorded().await;
    stage.fake.set_state_now(State::of_type(StateType::Cancelled));
    stage.tell(Input::Stop(StopReason::Cancelled));
    playing.end(BOUND).await;
    assert_eq!(proposed(&stage.fake), ["Pending", "Submitting"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_be_killed_is_watched_to_its_end_and_its_cancellation_finished_then() {
    let stage = Stage::new(json!({"run_for_ms": 60_000, "kill_unsupported": true}));
    let playing = stage.start();
    stage.fake.infra_is_recorded().await;
    stage.fake.set_state_now(State::of_type(StateType::Cancelling));
    stage.tell(Input::Stop(StopReason::Cancelled));
    playing.end(BOUND).await;
    assert_eq!(proposed(&stage.fake), ["Pending", "Submitting", "Cancelled"], "nobody else is left to finish it");
}

#[tokio::test(start_paused = true)]
async fn a_run_cancelled_just_before_its_launch_is_not_launched() {
    let stage = Stage::new(json!({}));
    let cancelling = Some(State::of_type(StateType::Cancelling));
    stage.fake.will_answer("Submitting", Verdict::Reject { state: cancelling, reason: None });
    stage.fake.set_state_now(State::of_type(StateType::Cancelling));
    stage.play(BOUND).await;
    assert_eq!(proposed(&stage.fake), ["Pending", "Submitting", "Cancelled"]);
    assert!(stage.fake.infra_ids().is_empty());
    assert_eq!(last_message(&stage.fake), "Flow run cancelled by worker (no infrastructure found).");
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_was_cancelled_in_its_last_moment_ends_cancelled() {
    let stage = Stage::new(json!({"run_for_ms": 10}));
    stage.fake.set_state_now(State::of_type(StateType::Cancelling));
    assert_eq!(stage.play(BOUND).await, Ended::Over);
    assert_eq!(proposed(&stage.fake), ["Pending", "Submitting", "Cancelled"]);
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_refused_because_of_a_cancellation_finishes_it() {
    let stage = Stage::new(json!({"report_state": "worker", "run_for_ms": 10}));
    let cancelling = Some(State::of_type(StateType::Cancelling));
    stage.fake.will_answer("Completed", Verdict::Reject { state: cancelling, reason: None });
    stage.play(BOUND).await;
    assert_eq!(proposed(&stage.fake), ["Pending", "Submitting", "Running", "Completed", "Cancelled"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_claimed_and_not_started_goes_back_only_if_it_is_still_pending() {
    for (now, last) in [(StateType::Pending, "Scheduled"), (StateType::Cancelled, "Pending")] {
        let stage = Stage::new(json!({}));
        stage.fake.will_answer("Pending", Verdict::Wait { delay: Duration::from_mins(1), reason: None });
        stage.fake.set_state_now(State::of_type(now));
        let playing = stage.start();
        stage.tell(Input::Stop(StopReason::Shutdown));
        playing.end(BOUND).await;
        assert_eq!(proposed(&stage.fake).last().map(String::as_str), Some(last));
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_stops_ends_its_runs_and_says_so() {
    let stage = Stage::new(json!({"run_until_killed": true, "ignore_grace": true}));
    let playing = stage.start();
    stage.fake.infra_is_recorded().await;
    stage.tell(Input::Stop(StopReason::Shutdown));
    playing.end(BOUND).await;
    assert_eq!(proposed(&stage.fake), ["Pending", "Submitting", "Crashed"]);
    assert!(last_message(&stage.fake).starts_with("The worker that executed this flow run was stopped and ended it."));
}

#[tokio::test(start_paused = true)]
async fn a_run_left_behind_is_neither_killed_nor_reported() {
    let stage = Stage::new(json!({"run_until_killed": true}));
    let playing = stage.start();
    stage.fake.infra_is_recorded().await;
    stage.tell(Input::Detach);
    playing.end(BOUND).await;
    assert_eq!(proposed(&stage.fake), ["Pending", "Submitting"]);
    assert!(!stage.records().is_empty(), "the next worker must find it");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_the_launch_does_not_launch_twice() {
    let stage = Stage::new(json!({"lost_reply": true, "run_for_ms": 10}));
    stage.play(BOUND).await;
    assert_eq!(proposed(&stage.fake), ["Pending", "Submitting"]);
    assert_eq!(stage.fake.infra_ids().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_launch_that_fails_for_good_crashes_the_run_and_one_that_may_work_is_tried_again() {
    let failure =
        |class: &str, times: Value| json!({"start_error": {"class": class, "text": "no room", "times": times}});
    let stage = Stage::new(failure("denied", Value::Null));
    stage.play(BOUND).await;
    assert_eq!(last_message(&stage.fake), "Failed to submit flow run to infrastructure: no room");
    let stage = Stage::new(failure("transient", json!(3)));
    stage.play(BOUND).await;
    assert_eq!(proposed(&stage.fake), ["Pending", "Submitting"]);
}

/// What is left to do after a restart depends on what is written down and on what the API says.
#[tokio::test(start_paused = true)]
async fn a_run_left_running_is_taken_over_and_reported_by_the_next_process() {
    let stage = Stage::new(json!({"run_until_killed": true, "exit_code": 3}));
    let playing = stage.start();
    stage.fake.infra_is_recorded().await;
    stage.tell(Input::Detach);
    assert_eq!(playing.end(BOUND).await, Ended::Left);
    let next = stage.resume();
    stage.tell(Input::Stop(StopReason::Cancelled));
    assert_eq!(next.end(BOUND).await, Ended::Over);
    assert_eq!(proposed(&stage.fake), ["Pending", "Submitting", "Cancelled"]);
    assert!(stage.records().is_empty());
    let executed = stage.fake.events().into_iter().find(|event| event.event.ends_with("executed-flow-run")).unwrap();
    assert!(executed.follows.is_some(), "the submitted event was written down");
}

fn made_by(state_type: StateType, transition: TransitionId) -> State {
    let state_details = StateDetails { transition_id: Some(transition), ..StateDetails::default() };
    State { state_details, ..State::of_type(state_type) }
}

/// A run that we claimed, and what came after.
fn claimed_and_then(after: impl IntoIterator<Item = State>) -> Vec<State> {
    let claimed = [State::of_type(StateType::Scheduled), made_by(StateType::Pending, key().claim)];
    claimed.into_iter().chain(after).collect()
}

#[tokio::test(start_paused = true)]
async fn a_report_of_an_end_outlives_an_outage_of_hours_and_arrives_once() {
    let outage = Duration::from_hours(6);
    let stage = Stage::new(json!({"exit_code": 3, "run_for_ms": 1000}));
    stage.fake.set_history(claimed_and_then([]));
    let playing = stage.start();
    stage.fake.infra_is_recorded().await;
    let begun = tokio::time::Instant::now();
    stage.fake.is_away_for(outage);
    assert_eq!(playing.end(BOUND).await, Ended::Over);
    assert!(begun.elapsed() >= outage);
    assert_eq!(proposed(&stage.fake), ["Pending", "Submitting", "Crashed"]);
    assert!(stage.records().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_report_that_did_not_take_effect_is_made_again_until_the_api_itself_answers() {
    let refused = |status, detail: &str| ApiError::Refused { status, detail: detail.to_owned(), retry_after: None };
    let accepted = Verdict::Accept(None);
    let stage = Stage::new(json!({"exit_code": 3}));
    let somebody_elses = made_by(StateType::Crashed, TransitionId(Uuid::from_u128(7)));
    stage.fake.set_history(claimed_and_then([somebody_elses]));
    for error in [
        unanswered(TransportError::Interrupted),
        unanswered(TransportError::Timeout),
        ApiError::Undecodable { status: 200 },
        ApiError::Undecodable { status: 404 },
        refused(401, "Unauthorized"),
        refused(504, "slow"),
        refused(404, "Not Found"),
    ] {
        stage.fake.will_fail("Crashed", error);
    }
    stage.fake.will_answer("Crashed", accepted);
    stage.play(BOUND).await;
    let proposals = stage.fake.proposals();
    let reports: Vec<_> = proposals.iter().filter(|it| it.state.state_type == StateType::Crashed).collect();
    assert_eq!(reports.len(), 8);
    assert!(reports.iter().all(|it| it.state.state_details.transition_id == Some(key().transition("crashed"))));
    let definite = Stage::new(json!({"exit_code": 3}));
    definite.fake.will_fail("Crashed", refused(404, "Flow run not found"));
    definite.play(BOUND).await;
    assert_eq!(proposed(&definite.fake), ["Pending", "Submitting", "Crashed"]);
}

/// By the time of a repetition the run could be somebody else's.
#[tokio::test(start_paused = true)]
async fn a_report_whose_answer_was_lost_is_not_made_again_once_it_is_in_the_history() {
    let stage = Stage::new(json!({"exit_code": 3}));
    stage.fake.will_fail("Crashed", unanswered(TransportError::Interrupted));
    let ours = made_by(StateType::Crashed, key().transition("crashed"));
    stage.fake.set_history(claimed_and_then([ours, State::of_type(StateType::Scheduled)]));
    stage.play(BOUND).await;
    assert_eq!(proposed(&stage.fake), ["Pending", "Submitting", "Crashed"]);
    assert!(stage.fake.log().iter().any(|line| line.contains("as crashed")), "it counts as taken");
}

#[tokio::test(start_paused = true)]
async fn a_later_process_reports_nothing_of_a_run_that_moved_on() {
    let somebody_elses = made_by(StateType::Pending, TransitionId(Uuid::from_u128(7)));
    let moved_on = [State::of_type(StateType::Failed), State::of_type(StateType::Scheduled), somebody_elses.clone()];
    for (outcome, name) in [
        (Outcome::Crashed(CrashCause::Gone), "Crashed"),
        (Outcome::Completed, "Completed"),
        (Outcome::Cancelled(None), "Cancelled"),
    ] {
        let stage = Stage::new(json!({}));
        stage.was_left_reporting(outcome.clone());
        stage.fake.set_history(claimed_and_then(moved_on.clone()));
        stage.fake.set_state_now(somebody_elses.clone());
        assert_eq!(stage.resume().end(BOUND).await, Ended::Over);
        assert_eq!(proposed(&stage.fake), [""; 0], "{name}");
        assert!(stage.records().is_empty());
        let still_ours = Stage::new(json!({}));
        still_ours.was_left_reporting(outcome);
        still_ours.fake.set_history(claimed_and_then([]));
        still_ours.resume().end(BOUND).await;
        assert_eq!(proposed(&still_ours.fake), [name]);
    }
}

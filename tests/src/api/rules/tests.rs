//! The answers of a real server, case by case.

use central_api_wire::state::{StateDetails, StateProposal, StateType};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use uuid::Uuid;
use worker_core::ids::{DeploymentId, FlowId, RunId, StateId, TransitionId};

use super::*;
use crate::api::model::{Collision, Policy, RetryType};
use crate::api::version::Version;

const T0: Timestamp = Timestamp::UNIX_EPOCH;
const NOW: Timestamp = Timestamp::constant(1_000, 0);

fn limits() -> Limits {
    Limits { deployment: DeploymentSlots::Unlimited, ruleset: Ruleset::of(Version::new(3, 8, 0)) }
}

fn limited(limit: u32, taken: u32, collision: Collision) -> Limits {
    Limits { deployment: DeploymentSlots::Limited { limit, taken, collision, lease_alive: true }, ..limits() }
}

fn run() -> Run {
    Run {
        id: RunId(Uuid::from_u128(1)),
        created: T0,
        updated: T0,
        name: "quiet-heron".to_owned(),
        flow_id: FlowId(Uuid::from_u128(2)),
        deployment_id: Some(DeploymentId(Uuid::from_u128(3))),
        work_queue_id: None,
        flow_version: None,
        parameters: Map::new(),
        idempotency_key: None,
        context: Map::new(),
        policy: Policy::default(),
        tags: Vec::new(),
        labels: Map::new(),
        parent_task_run_id: None,
        history: Vec::new(),
        run_count: 0,
        expected_start_time: None,
        next_scheduled_start_time: None,
        start_time: None,
        end_time: None,
        total_run_time: SignedDuration::ZERO,
        infrastructure_pid: None,
        job_variables: Map::new(),
    }
}

fn state(state_type: StateType, name: &str) -> StateProposal {
    StateProposal {
        state_type,
        name: Some(name.to_owned()),
        message: None,
        data: None,
        state_details: StateDetails::default(),
    }
}

fn plain(state_type: StateType) -> StateProposal {
    let name = state_type.default_name().to_owned();
    state(state_type, &name)
}

fn with_detail(mut state: StateProposal, key: &str, value: Value) -> StateProposal {
    state.state_details.other.insert(key.to_owned(), value);
    state
}

/// A run that has been brought into a state, rules aside.
fn run_in(states: &[StateProposal]) -> Run {
    let mut run = run();
    for (index, state) in states.iter().enumerate() {
        let id = StateId(Uuid::from_u128(100 + u128::try_from(index).unwrap()));
        store_unruled(&mut run, Draft::from(state), id, T0);
    }
    run
}

fn propose_to(run: &Run, state: StateProposal, limits: &Limits) -> Decision {
    let proposal = Proposal { state, force: false, client: Some(Version::new(3, 8, 0)) };
    propose(run, &proposal, NOW, limits)
}

fn carry_out(run: &mut Run, decision: Decision) {
    apply(run, decision, StateId(Uuid::from_u128(999)), NOW);
}

/// The decision in one line: `ACCEPT 201 PENDING/Pending`, `ABORT 200 reason`.
fn told(decision: &Decision) -> String {
    let code = if decision.stored.is_some() { 201 } else { 200 };
    let stored = decision.stored.as_ref().map(|draft| format!("{}/{}", draft.state_type, draft.name));
    match &decision.verdict {
        Verdict::Accept => format!("ACCEPT {code} {}", stored.unwrap()),
        Verdict::Reject { reason } => match stored {
            Some(stored) => format!("REJECT {code} {stored}: {reason}"),
            None => format!("REJECT {code} {reason}"),
        },
        Verdict::Abort { reason } => format!("ABORT {code} {reason}"),
        Verdict::Wait { delay_seconds, reason } => format!("WAIT {code} {delay_seconds} {reason}"),
    }
}

#[test]
fn observed_answers_are_given_again() {
    use StateType::{Cancelled, Cancelling, Completed, Crashed, Failed, Paused, Pending, Running, Scheduled};
    let cancelling = "REJECT 200 Cannot transition flows that are cancelling to a state other than Cancelled.";
    let pending =
        |from: &str| format!("ABORT 200 This run is in a {from} state and cannot transition to a PENDING state.");
    let cases: Vec<(StateProposal, StateProposal, String)> = vec![
        (plain(Scheduled), plain(Pending), "ACCEPT 201 PENDING/Pending".into()),
        (plain(Pending), plain(Pending), pending("PENDING")),
        (plain(Pending), state(Pending, "Submitting"), "ACCEPT 201 PENDING/Submitting".into()),
        (
            state(Pending, "Submitting"),
            state(Pending, "InfrastructurePending"),
            "ACCEPT 201 PENDING/InfrastructurePending".into(),
        ),
        (state(Pending, "InfrastructurePending"), state(Pending, "Submitting"), "ACCEPT 201 PENDING/Submitting".into()),
        (state(Pending, "Submitting"), state(Pending, "Submitting"), pending("PENDING")),
        (state(Pending, "Submitting"), plain(Pending), pending("PENDING")),
        (plain(Running), plain(Pending), pending("RUNNING")),
        (plain(Cancelled), plain(Pending), pending("CANCELLED")),
        (plain(Pending), plain(Crashed), "ACCEPT 201 CRASHED/Crashed".into()),
        (plain(Crashed), plain(Crashed), "ABORT 200 Run is already in terminal state CRASHED.".into()),
        (plain(Failed), plain(Crashed), "ABORT 200 Run is already in terminal state FAILED.".into()),
        (plain(Completed), plain(Cancelling), "ABORT 200 Run is already in terminal state COMPLETED.".into()),
        (plain(Crashed), plain(Pending), "ACCEPT 201 PENDING/Pending".into()),
        (plain(Failed), plain(Pending), "ACCEPT 201 PENDING/Pending".into()),
        (plain(Pending), plain(Cancelling), "ACCEPT 201 CANCELLING/Cancelling".into()),
        (plain(Running), plain(Cancelling), "ACCEPT 201 CANCELLING/Cancelling".into()),
        (plain(Cancelling), plain(Pending), cancelling.into()),
        (plain(Cancelling), plain(Crashed), cancelling.into()),
        (plain(Cancelling), plain(Cancelling), cancelling.into()),
        (plain(Cancelling), plain(Cancelled), "ACCEPT 201 CANCELLED/Cancelled".into()),
        (
            plain(Scheduled),
            plain(Cancelling),
            "REJECT 201 CANCELLED/Cancelled: Scheduled flow run has no infrastructure to terminate.".into(),
        ),
        (plain(Scheduled), plain(Paused), "REJECT 200 Cannot pause flows that are not currently running.".into()),
        (plain(Running), plain(Paused), "ACCEPT 201 PAUSED/Paused".into()),
        (plain(Running), state(Scheduled, "Late"), "REJECT 200 Only scheduled flows can be marked late.".into()),
        (state(Scheduled, "Late"), state(Scheduled, "Late"), "REJECT 200 This flow run is already marked late.".into()),
        (
            plain(Paused),
            plain(Pending),
            "REJECT 200 This run cannot transition to the StateType.PENDING state from the StateType.PAUSED state."
                .into(),
        ),
    ];
    for (from, to, expected) in cases {
        let case = format!("{from:?} -> {to:?}");
        assert_eq!(told(&propose_to(&run_in(&[from]), to, &limits())), expected, "{case}");
    }
}

#[test]
fn a_repeated_transition_id_is_refused_with_the_state_it_made() {
    let id = TransitionId(Uuid::from_u128(7));
    let mut claim = plain(StateType::Pending);
    claim.state_details.transition_id = Some(id);
    let run = run_in(&[claim.clone()]);
    let repeat = propose_to(&run, claim, &limits());
    assert_eq!(told(&repeat), "REJECT 200 This run has already made this state transition.");
}

#[test]
fn a_forced_proposal_passes_where_the_rules_would_refuse_it() {
    for from in [StateType::Cancelled, StateType::Running, StateType::Cancelling, StateType::Failed] {
        let proposal = Proposal { state: plain(StateType::Cancelled), force: true, client: None };
        let decision = propose(&run_in(&[plain(from)]), &proposal, NOW, &limits());
        assert_eq!(told(&decision), "ACCEPT 201 CANCELLED/Cancelled");
    }
}

#[test]
fn the_claim_carries_the_due_time_and_running_waits_for_it() {
    let mut due = plain(StateType::Scheduled);
    due.state_details.scheduled_time = Some(NOW + SignedDuration::from_millis(5_600));
    let mut run = run_in(&[due]);
    let claim = propose_to(&run, plain(StateType::Pending), &limits());
    carry_out(&mut run, claim);
    let submitting = propose_to(&run, state(StateType::Pending, "Submitting"), &limits());
    carry_out(&mut run, submitting);
    assert_eq!(run.next_scheduled_start_time, None);
    let early = propose_to(&run, plain(StateType::Running), &limits());
    assert_eq!(told(&early), "WAIT 200 6 Scheduled time is in the future");

    let proposal = Proposal { state: plain(StateType::Running), force: false, client: None };
    let on_time = propose(&run, &proposal, NOW + SignedDuration::from_millis(5_100), &limits());
    assert_eq!(told(&on_time), "ACCEPT 201 RUNNING/Running", "half a second is rounded away");
}

#[test]
fn a_full_deployment_makes_the_run_wait_or_cancels_it() {
    let run = run_in(&[plain(StateType::Scheduled)]);
    let enqueue = propose_to(&run, plain(StateType::Pending), &limited(1, 1, Collision::Enqueue));
    assert_eq!(told(&enqueue), "REJECT 201 SCHEDULED/AwaitingConcurrencySlot: Deployment concurrency limit reached.");
    let due = enqueue.stored.unwrap().details.scheduled_time;
    assert_eq!(due, Some(NOW + SignedDuration::from_secs(30)));

    let cancel = propose_to(&run, plain(StateType::Pending), &limited(1, 1, Collision::CancelNew));
    assert_eq!(told(&cancel), "REJECT 201 CANCELLED/Cancelled: Deployment concurrency limit reached.");
    assert_eq!(cancel.stored.unwrap().message.as_deref(), Some("Deployment concurrency limit reached."));

    let zero = propose_to(&run, plain(StateType::Pending), &limited(0, 0, Collision::Enqueue));
    assert_eq!(
        told(&zero),
        "ABORT 200 The deployment concurrency limit is 0. The flow will deadlock if submitted again."
    );
    let free = propose_to(&run, plain(StateType::Pending), &limited(2, 1, Collision::Enqueue));
    assert_eq!((told(&free).as_str(), free.lease), ("ACCEPT 201 PENDING/Pending", LeaseChange::Acquire));
}

#[test]
fn a_worker_that_counts_concurrency_itself_is_not_counted_again() {
    let run = run_in(&[plain(StateType::Scheduled)]);
    let proposal = Proposal { state: plain(StateType::Pending), force: false, client: Some(Version::new(3, 0, 2)) };
    let decision = propose(&run, &proposal, NOW, &limited(1, 1, Collision::CancelNew));
    assert_eq!(told(&decision), "ACCEPT 201 PENDING/Pending");
}

#[test]
fn the_slot_is_renewed_at_the_start_and_given_back_at_the_end() {
    let lease = || json!("36a1ec22-692b-4bf3-98c4-d2eb6369e828");
    let pending = with_detail(plain(StateType::Pending), "deployment_concurrency_lease_id", lease());
    let mut run = run_in(&[pending]);
    let null = with_detail(state(StateType::Pending, "Submitting"), "deployment_concurrency_lease_id", Value::Null);
    let submitting = propose_to(&run, null, &limited(1, 1, Collision::Enqueue));
    carry_out(&mut run, submitting);
    let running = propose_to(&run, plain(StateType::Running), &limited(1, 1, Collision::Enqueue));
    assert_eq!(running.lease, LeaseChange::Renew);
    assert_eq!(running.stored.as_ref().unwrap().details.other["deployment_concurrency_lease_id"], lease());
    carry_out(&mut run, running);
    assert_eq!(propose_to(&run, plain(StateType::Completed), &limits()).lease, LeaseChange::Release);
    assert_eq!(propose_to(&run, plain(StateType::Cancelling), &limits()).lease, LeaseChange::None);
}

#[test]
fn a_slot_lost_while_the_infrastructure_started_ends_the_run() {
    let pending = with_detail(plain(StateType::Pending), "deployment_concurrency_lease_id", json!("x"));
    let run = run_in(&[pending]);
    let dead = |taken| Limits {
        deployment: DeploymentSlots::Limited { limit: 1, taken, collision: Collision::Enqueue, lease_alive: false },
        ..limits()
    };
    let lost = propose_to(&run, plain(StateType::Running), &dead(1));
    assert_eq!(told(&lost), "REJECT 201 CANCELLED/Cancelled: Deployment concurrency limit reached after lease expiry.");
    let taken_again = propose_to(&run, plain(StateType::Running), &dead(0));
    assert_eq!((told(&taken_again).as_str(), taken_again.lease), ("ACCEPT 201 RUNNING/Running", LeaseChange::Acquire));
}

#[test]
fn servers_before_named_pending_states_abort_them_and_lose_the_lease_for_null() {
    let old = Limits { ruleset: Ruleset::of(Version::new(3, 6, 21)), ..limits() };
    let run = run_in(&[plain(StateType::Pending)]);
    assert_eq!(
        told(&propose_to(&run, state(StateType::Pending, "Submitting"), &old)),
        "ABORT 200 This run is in a PENDING state and cannot transition to a PENDING state."
    );

    let lossy = Limits { ruleset: Ruleset::of(Version::new(3, 6, 23)), ..limits() };
    let key = "deployment_concurrency_lease_id";
    let run = run_in(&[with_detail(plain(StateType::Pending), key, json!("x"))]);
    let null = propose_to(&run, with_detail(state(StateType::Pending, "Submitting"), key, Value::Null), &lossy);
    assert_eq!(null.stored.unwrap().details.other[key], Value::Null);
    let absent = propose_to(&run, state(StateType::Pending, "Submitting"), &lossy);
    assert_eq!(absent.stored.unwrap().details.other[key], json!("x"));
}

#[test]
fn a_scheduled_run_with_infrastructure_is_cancelled_by_somebody_unless_it_resumes() {
    let mut retrying = run_in(&[state(StateType::Scheduled, "AwaitingRetry")]);
    retrying.infrastructure_pid = Some("42".to_owned());
    assert_eq!(
        told(&propose_to(&retrying, plain(StateType::Cancelling), &limits())),
        "ACCEPT 201 CANCELLING/Cancelling"
    );
    let mut resuming = run_in(&[state(StateType::Scheduled, "Resuming")]);
    resuming.infrastructure_pid = Some("42".to_owned());
    assert_eq!(
        told(&propose_to(&resuming, plain(StateType::Cancelling), &limits())),
        "REJECT 201 CANCELLED/Cancelled: Scheduled flow run has no infrastructure to terminate."
    );
}

#[test]
fn a_suspended_run_is_scheduled_again_and_that_is_not_a_new_try() {
    let mut run = run_in(&[plain(StateType::Running)]);
    let mut suspended = with_detail(state(StateType::Paused, "Suspended"), "pause_key", json!("1"));
    suspended.state_details.pause_reschedule = Some(true);
    let pause = propose_to(&run, suspended.clone(), &limits());
    carry_out(&mut run, pause);
    assert_eq!(run.policy.pause_keys, ["1"]);
    assert_eq!(
        told(&propose_to(&run, plain(StateType::Cancelling), &limits())),
        "REJECT 201 CANCELLED/Cancelled: Suspended flow run has no infrastructure to terminate."
    );

    let resume = propose_to(&run, resumption(run.state(), NOW).unwrap(), &limits());
    assert_eq!(told(&resume), "ACCEPT 201 SCHEDULED/Resuming");
    carry_out(&mut run, resume);
    assert_eq!((run.policy.resuming, run.next_scheduled_start_time), (Some(true), Some(NOW)));
    for next in [plain(StateType::Pending), plain(StateType::Running)] {
        let decision = propose_to(&run, next, &limits());
        carry_out(&mut run, decision);
    }
    assert_eq!((run.run_count, run.policy.resuming), (1, Some(false)));
    assert_eq!(told(&propose_to(&run, suspended, &limits())), "REJECT 200 This suspend has already fired.");
    assert!(resumption(run.state(), NOW).is_err());
}

#[test]
fn a_failed_run_with_tries_left_waits_for_its_next_try_in_its_process() {
    let mut run = run_in(&[plain(StateType::Running)]);
    run.policy.retries = Some(1);
    run.policy.retry_delay = Some(60);
    let mut failed = plain(StateType::Failed);
    failed.message = Some("boom".to_owned());
    let retry = propose_to(&run, failed.clone(), &limits());
    assert_eq!(told(&retry), "REJECT 201 SCHEDULED/AwaitingRetry: Retrying");
    assert_eq!(retry.policy.retry_type, Some(RetryType::InProcess));
    carry_out(&mut run, retry);
    assert_eq!(run.next_scheduled_start_time, Some(NOW + SignedDuration::from_secs(60)));
    run.run_count = 2;
    run.history.push(run_in(&[plain(StateType::Running)]).history.remove(0));
    assert_eq!(told(&propose_to(&run, failed, &limits())), "ACCEPT 201 FAILED/Failed");
}

#[test]
fn an_ended_run_is_scheduled_again_only_with_a_deployment() {
    let mut run = run_in(&[plain(StateType::Failed)]);
    let again = propose_to(&run, plain(StateType::Scheduled), &limits());
    assert_eq!(told(&again), "ACCEPT 201 SCHEDULED/Scheduled");
    assert_eq!(again.policy.retry_type, Some(RetryType::Reschedule));
    run.deployment_id = None;
    assert_eq!(
        told(&propose_to(&run, plain(StateType::Scheduled), &limits())),
        "ABORT 200 Cannot reschedule a run without an associated deployment."
    );
}

#[test]
fn a_persisted_result_is_not_thrown_away() {
    let mut completed = plain(StateType::Completed);
    completed.data = Some(json!({"type": "reference", "storage_key": "k"}));
    let run = run_in(&[completed]);
    assert_eq!(told(&propose_to(&run, plain(StateType::Pending), &limits())), "REJECT 200 Run is already COMPLETED.");
    let forced = Proposal { state: plain(StateType::Completed), force: true, client: None };
    assert_eq!(
        told(&propose(&run, &forced, NOW, &limits())),
        "REJECT 200 Cannot overwrite a COMPLETED state that carries persisted result data with one that does not."
    );
}

#[test]
fn times_and_counts_follow_the_states() {
    let mut due = plain(StateType::Scheduled);
    due.state_details.scheduled_time = Some(T0);
    let mut run = run_in(&[due, plain(StateType::Pending), plain(StateType::Running)]);
    assert_eq!((run.run_count, run.start_time, run.end_time), (1, Some(T0), None));
    assert_eq!(run.expected_start_time, Some(T0));
    let failed = propose_to(&run, plain(StateType::Failed), &limits());
    carry_out(&mut run, failed);
    assert_eq!((run.end_time, run.total_run_time), (Some(NOW), SignedDuration::from_secs(1_000)));
    assert_eq!(run.state().unwrap().state_details.flow_run_id, Some(run.id));
    let again = propose_to(&run, plain(StateType::Scheduled), &limits());
    carry_out(&mut run, again);
    assert_eq!((run.start_time, run.end_time), (Some(T0), None));
}

use central_api_wire::state::{State, StateDetails};
use jiff::SignedDuration;
use serde_json::Map;
use uuid::Uuid;
use worker_core::ids::{FlowId, WorkPoolId};

use super::*;
use crate::api::model::Policy;

const T0: Timestamp = Timestamp::UNIX_EPOCH;

fn pool() -> Pool {
    Pool {
        id: WorkPoolId(Uuid::from_u128(1)),
        created: T0,
        updated: T0,
        name: "pp".to_owned(),
        description: None,
        pool_type: "process".to_owned(),
        base_job_template: Map::new(),
        is_paused: false,
        concurrency_limit: None,
        is_ready: true,
        default_queue_id: WorkQueueId(Uuid::from_u128(10)),
        storage_configuration: Map::new(),
        revision: 0,
    }
}

fn queue(id: u128, priority: u32) -> Queue {
    Queue {
        id: WorkQueueId(Uuid::from_u128(id)),
        created: T0,
        updated: T0,
        work_pool_id: WorkPoolId(Uuid::from_u128(1)),
        name: id.to_string(),
        is_paused: false,
        concurrency_limit: None,
        priority,
        last_polled: None,
    }
}

fn run(id: u128, queue: u128, state_type: StateType, due: i64) -> Run {
    let due = T0 + SignedDuration::from_secs(due);
    Run {
        id: RunId(Uuid::from_u128(id)),
        created: T0,
        updated: T0,
        name: String::new(),
        flow_id: FlowId(Uuid::nil()),
        deployment_id: None,
        work_queue_id: Some(WorkQueueId(Uuid::from_u128(queue))),
        flow_version: None,
        parameters: Map::new(),
        idempotency_key: None,
        context: Map::new(),
        policy: Policy::default(),
        tags: Vec::new(),
        labels: Map::new(),
        parent_task_run_id: None,
        next_scheduled_start_time: (state_type == StateType::Scheduled).then_some(due),
        history: vec![State {
            id: None,
            state_type,
            name: None,
            timestamp: None,
            message: None,
            data: None,
            state_details: StateDetails::default(),
        }],
        run_count: 0,
        expected_start_time: None,
        start_time: None,
        end_time: None,
        total_run_time: SignedDuration::ZERO,
        infrastructure_pid: None,
        job_variables: Map::new(),
    }
}

fn scheduled(id: u128, queue: u128, due: i64) -> Run {
    run(id, queue, StateType::Scheduled, due)
}

fn ids(found: &[&Run]) -> Vec<u128> {
    found.iter().map(|run| run.id.0.as_u128()).collect()
}

fn poll() -> Poll {
    Poll { limit: 200, ..Poll::default() }
}

#[test]
fn the_queues_priority_goes_before_the_due_time() {
    let queues = [queue(10, 2), queue(11, 1)];
    let runs = [scheduled(1, 10, 0), scheduled(2, 11, 9), scheduled(3, 11, 5)];
    assert_eq!(ids(&due_runs(&pool(), &queues, &runs, &poll())), [3, 2, 1]);
}

#[test]
fn only_scheduled_runs_due_in_time_are_offered() {
    let mut retrying = scheduled(4, 10, 0);
    retrying.policy.retry_type = Some(RetryType::InProcess);
    let mut rescheduled = scheduled(5, 10, 0);
    rescheduled.policy.retry_type = Some(RetryType::Reschedule);
    let runs = [scheduled(1, 10, 10), scheduled(2, 10, 11), run(3, 10, StateType::Pending, 0), retrying, rescheduled];
    let until = Poll { before: Some(T0 + SignedDuration::from_secs(10)), ..poll() };
    assert_eq!(ids(&due_runs(&pool(), &[queue(10, 1)], &runs, &until)), [5, 1]);
    let after = Poll { after: Some(T0 + SignedDuration::from_secs(11)), ..poll() };
    assert_eq!(ids(&due_runs(&pool(), &[queue(10, 1)], &runs, &after)), [2]);
}

#[test]
fn paused_pools_and_queues_offer_nothing() {
    let runs = [scheduled(1, 10, 0), scheduled(2, 11, 0)];
    let mut paused_queue = queue(10, 1);
    paused_queue.is_paused = true;
    assert_eq!(ids(&due_runs(&pool(), &[paused_queue, queue(11, 2)], &runs, &poll())), [2]);
    let mut paused = pool();
    paused.is_paused = true;
    assert!(due_runs(&paused, &[queue(10, 1)], &runs, &poll()).is_empty());
}

#[test]
fn pending_and_running_runs_take_slots_and_cancelling_ones_do_not() {
    let mut runs = vec![run(1, 10, StateType::Pending, 0), run(2, 11, StateType::Running, 0)];
    runs.push(run(3, 10, StateType::Cancelling, 0));
    runs.extend((4..9).map(|id| scheduled(id, 10, 0)));
    let queues = [queue(10, 1), queue(11, 2)];
    let limited = Pool { concurrency_limit: Some(4), ..pool() };
    assert_eq!(ids(&due_runs(&limited, &queues, &runs, &poll())), [4, 5]);
    let queue_limited = [Queue { concurrency_limit: Some(2), ..queue(10, 1) }, queue(11, 2)];
    assert_eq!(ids(&due_runs(&pool(), &queue_limited, &runs, &poll())), [4]);
    let none = Pool { concurrency_limit: Some(0), ..pool() };
    assert!(due_runs(&none, &queues, &runs, &poll()).is_empty());
}

#[test]
fn only_the_queues_asked_for_are_looked_at_but_slots_are_counted_over_the_pool() {
    let runs = [run(1, 11, StateType::Running, 0), scheduled(2, 10, 0), scheduled(3, 11, 0), scheduled(4, 10, 1)];
    let one = Poll { queues: Some(vec![WorkQueueId(Uuid::from_u128(10))]), ..poll() };
    let limited = Pool { concurrency_limit: Some(2), ..pool() };
    assert_eq!(ids(&due_runs(&limited, &[queue(10, 1), queue(11, 2)], &runs, &one)), [2]);
}

#[test]
fn a_page_ends_at_the_limit() {
    let runs: Vec<Run> = (0..300).map(|id| scheduled(id, 10, 0)).collect();
    assert_eq!(due_runs(&pool(), &[queue(10, 1)], &runs, &poll()).len(), 200);
}

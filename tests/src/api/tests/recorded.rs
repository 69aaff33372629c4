//! The shapes of a real server's answers, as recorded, field for field.

use serde_json::json;

use super::*;

const RUN: [&str; 31] = [
    "id",
    "created",
    "updated",
    "name",
    "flow_id",
    "state_id",
    "deployment_id",
    "deployment_version",
    "work_queue_id",
    "work_queue_name",
    "flow_version",
    "parameters",
    "idempotency_key",
    "context",
    "empirical_policy",
    "tags",
    "labels",
    "parent_task_run_id",
    "state_type",
    "state_name",
    "run_count",
    "expected_start_time",
    "next_scheduled_start_time",
    "start_time",
    "end_time",
    "total_run_time",
    "estimated_run_time",
    "estimated_start_time_delta",
    "auto_scheduled",
    "infrastructure_document_id",
    "infrastructure_pid",
];

fn assert_has(value: &Value, expected: &[&str]) {
    let keys = keys(value);
    let missing: Vec<_> = expected.iter().filter(|key| !keys.contains(key)).collect();
    assert!(missing.is_empty(), "missing {missing:?}");
}

#[tokio::test]
async fn runs_and_their_states_have_every_field() {
    let (api, caller) = started(ApiOptions::default()).await;
    let run = api.store().schedule_run(deployed(api.store())).unwrap();
    let (_, read) = caller.get(&format!("/flow_runs/{run}")).await;
    assert_has(&read, &RUN);
    assert_has(&read, &["created_by", "work_pool_id", "work_pool_name", "state", "job_variables"]);
    assert_eq!(keys(&read["state"]), ["id", "type", "name", "timestamp", "message", "data", "state_details"]);
    assert_eq!(
        read["empirical_policy"],
        json!({
            "max_retries": 0,
            "retry_delay_seconds": 0.0,
            "retries": null,
            "retry_delay": null,
            "pause_keys": [],
            "resuming": false,
            "retry_type": null,
        })
    );
    assert_eq!(
        read["state"]["state_details"],
        json!({
            "flow_run_id": run,
            "task_run_id": null,
            "child_flow_run_id": null,
            "scheduled_time": read["next_scheduled_start_time"],
            "cache_key": null,
            "cache_expiration": null,
            "deferred": false,
            "untrackable_result": false,
            "pause_timeout": null,
            "pause_reschedule": false,
            "pause_key": null,
            "run_input_keyset": null,
            "refresh_cache": null,
            "retriable": null,
            "transition_id": null,
            "task_parameters_id": null,
            "traceparent": null,
            "deployment_concurrency_lease_id": null,
        })
    );
}

#[tokio::test]
async fn an_offered_run_has_no_state_and_no_names_of_pool_and_queue() {
    let (api, caller) = started(ApiOptions::default()).await;
    api.store().schedule_run(deployed(api.store())).unwrap();
    let (_, offered) = caller.post("/work_pools/pp/get_scheduled_flow_runs", &json!({})).await;
    assert_eq!(keys(&offered[0]), ["work_pool_id", "work_queue_id", "flow_run"]);
    let run = &offered[0]["flow_run"];
    assert_has(run, &RUN);
    assert_eq!((&run["state"], &run["work_queue_name"], run.get("work_pool_name")), (&Value::Null, &Value::Null, None));
    assert_eq!((&run["state_type"], &run["state_name"]), (&json!("SCHEDULED"), &json!("Scheduled")));
}

#[tokio::test]
async fn pools_queues_deployments_and_flows_have_every_field() {
    let (api, caller) = started(ApiOptions::default()).await;
    let deployment = deployed(api.store());
    let (_, pool) = caller.get("/work_pools/pp").await;
    assert_eq!(
        keys(&pool),
        [
            "id",
            "created",
            "updated",
            "name",
            "description",
            "type",
            "base_job_template",
            "is_paused",
            "concurrency_limit",
            "status",
            "default_queue_id",
            "storage_configuration",
            "active_slots",
        ]
    );
    let body = json!({"work_queues": null, "limit": null, "offset": null});
    let (_, queues) = caller.post("/work_pools/pp/queues/filter", &body).await;
    let queue = &queues[0];
    assert_has(
        queue,
        &[
            "is_paused",
            "concurrency_limit",
            "priority",
            "work_pool_id",
            "filter",
            "last_polled",
            "status",
            "active_slots",
        ],
    );
    assert_eq!(queue["id"], pool["default_queue_id"]);
    let (_, same) = caller.get(&format!("/work_queues/{}", queue["id"].as_str().unwrap())).await;
    assert_eq!(&same, queue);
    let (_, read) = caller.get(&format!("/deployments/{deployment}")).await;
    assert_has(
        &read,
        &[
            "version",
            "description",
            "flow_id",
            "paused",
            "schedules",
            "concurrency_limit",
            "global_concurrency_limit",
            "concurrency_options",
            "job_variables",
            "parameters",
            "tags",
            "labels",
            "work_queue_name",
            "work_queue_id",
            "last_polled",
            "path",
            "pull_steps",
            "entrypoint",
            "storage_document_id",
            "infrastructure_document_id",
            "created_by",
            "updated_by",
            "work_pool_name",
            "status",
            "enforce_parameter_schema",
        ],
    );
    let (_, flow) = caller.get(&format!("/flows/{}", read["flow_id"].as_str().unwrap())).await;
    assert_eq!(keys(&flow), ["id", "created", "updated", "name", "tags", "labels"]);
}

#[tokio::test]
async fn the_answers_to_proposals_have_the_shapes_of_their_kinds() {
    let (api, caller) = started(ApiOptions::default()).await;
    let deployment = deployed(api.store());
    let far: jiff::Timestamp = "2099-01-01T00:00:00Z".parse().unwrap();
    let run = api.store().schedule_run_with(deployment, |new| *new = new.clone().due(far)).unwrap();
    let path = set_state_path(run);
    let (_, accepted) = caller.post(&path, &state("PENDING", "Pending")).await;
    assert_eq!(keys(&accepted), ["state", "status", "details"]);
    assert_eq!(accepted["details"], json!({"type": "accept_details"}));
    assert_eq!(accepted["state"]["state_details"]["scheduled_time"], "2099-01-01T00:00:00Z");
    let (status, early) = caller.post(&path, &state("RUNNING", "Running")).await;
    assert_eq!((status, &early["status"]), (200, &json!("WAIT")));
    assert_eq!(keys(&early["details"]), ["type", "delay_seconds", "reason"]);
    assert!(early["details"]["delay_seconds"].is_i64());
    let (_, cancelling) = caller.post(&path, &state("CANCELLING", "Cancelling")).await;
    assert_eq!(cancelling["status"], "ACCEPT");
    let (status, crashed) = caller.post(&path, &state("CRASHED", "Crashed")).await;
    let reason = "Cannot transition flows that are cancelling to a state other than Cancelled.";
    assert_eq!((status, &crashed["details"]), (200, &json!({"type": "reject_details", "reason": reason})));
    assert_eq!(crashed["state"], cancelling["state"]);
}

//! The endpoints of workers and users.

use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::api::store::{NewBlock, NewQueue, ScheduledRuns};

#[tokio::test]
async fn pools_are_made_once_and_not_under_the_products_name() {
    let (_api, caller) = started(ApiOptions::default()).await;
    let make = async |name: &str| caller.post("/work_pools/", &json!({"name": name, "type": "process"})).await;
    assert_eq!(make("new").await.0, 201);
    assert_eq!(make("new").await, (409, json!({"detail": "A work pool with this name already exists."})));
    let reserved = "Work pools starting with 'Prefect' are reserved for internal use.";
    assert_eq!(make("prefect-x").await, (403, json!({"detail": reserved})));
    assert_eq!(caller.get("/work_pools/nope").await, (404, json!({"detail": "Work pool \"nope\" not found."})));
    let template = json!({"job_configuration": {}, "variables": {}});
    assert_eq!(caller.patch("/work_pools/new", &json!({"base_job_template": template})).await.0, 204);
    assert_eq!(caller.get("/work_pools/new").await.1["base_job_template"], template);
}

#[tokio::test]
async fn a_heartbeat_makes_the_pool_ready_and_the_worker_known() {
    let (api, caller) = started(ApiOptions::default()).await;
    assert_eq!(caller.get("/work_pools/pp").await.1["status"], "NOT_READY");
    let beat = json!({"name": "w1", "heartbeat_interval_seconds": 10, "return_id": true});
    assert_eq!(caller.post("/work_pools/pp/workers/heartbeat", &beat).await.0, 204);
    assert_eq!(caller.get("/work_pools/pp").await.1["status"], "READY");
    assert_eq!(caller.post("/work_pools/nope/workers/heartbeat", &beat).await.0, 404);
    let (_, workers) = caller.post("/work_pools/pp/workers/filter", &json!({})).await;
    assert_eq!((&workers[0]["name"], &workers[0]["status"]), (&json!("w1"), &json!("ONLINE")));
    assert_eq!(api.store().read(|tables| tables.workers_of("pp").unwrap().next().unwrap().rest_heartbeats), 1);
}

#[tokio::test]
async fn a_poll_offers_the_due_runs_of_the_named_queues() {
    let (api, caller) = started(ApiOptions::default()).await;
    let run = api.store().schedule_run(deployed(api.store())).unwrap();
    api.store().create_queue("pp", NewQueue::new("qa")).unwrap();
    let path = "/work_pools/pp/get_scheduled_flow_runs";
    let body = json!({"work_queue_names": [], "scheduled_before": "2099-01-01 00:00:00.138103+00:00"});
    let (status, offered) = caller.post(path, &body).await;
    assert_eq!((status, offered[0]["flow_run"]["id"].as_str()), (200, Some(run.to_string().as_str())));
    assert_eq!(caller.post(path, &json!({"work_queue_names": ["qa"]})).await, (200, json!([])));
    let missing = json!({"detail": "Work pool queue 'pp/nope' not found."});
    assert_eq!(caller.post(path, &json!({"work_queue_names": ["nope"]})).await, (404, missing));
    let none = json!({"detail": "Work pool \"nope\" not found."});
    assert_eq!(caller.post("/work_pools/nope/get_scheduled_flow_runs", &json!({})).await, (404, none));
    assert_eq!(caller.post(path, &json!({"limit": 201})).await.0, 422);
    api.store().set_queue_paused("pp", "default", true).unwrap();
    assert_eq!(caller.post(path, &json!({})).await, (200, json!([])));
}

#[tokio::test]
async fn a_claim_is_stored_once_and_answered_with_the_stored_state() {
    let (api, caller) = started(ApiOptions::default()).await;
    let run = api.store().schedule_run(deployed(api.store())).unwrap();
    let path = set_state_path(run);
    let (status, claimed) = caller.post(&path, &state("PENDING", "Pending")).await;
    assert_eq!((status, &claimed["status"]), (201, &json!("ACCEPT")));
    let (status, again) = caller.post(&path, &state("PENDING", "Pending")).await;
    assert_eq!((status, &again["status"]), (200, &json!("ABORT")));
    assert_eq!(again["state"], claimed["state"]);
    assert_eq!(api.store().state_names(run), ["Scheduled", "Pending"]);
    let (status, unknown) = caller.post(&path, &state("NOPE", "Nope")).await;
    assert_eq!((status, &unknown["exception_detail"][0]["input"]), (422, &json!("NOPE")));
}

#[tokio::test]
async fn runs_that_are_gone_are_missed_by_each_endpoint_in_its_own_words() {
    let (_api, caller) = started(ApiOptions::default()).await;
    let gone = Uuid::new_v4();
    let by_route = (404, json!({"detail": "Flow run not found"}));
    let by_table = (404, json!({"exception_message": format!("Flow run with id {gone} not found")}));
    assert_eq!(caller.get(&format!("/flow_runs/{gone}")).await, by_route);
    assert_eq!(caller.patch(&format!("/flow_runs/{gone}"), &json!({"infrastructure_pid": "x"})).await, by_route);
    assert_eq!(caller.patch(&format!("/flow_runs/{gone}/labels"), &json!({"a": "b"})).await, by_table);
    assert_eq!(caller.post(&format!("/flow_runs/{gone}/set_state"), &state("PENDING", "Pending")).await, by_table);
    let deployment = (404, json!({"detail": "Deployment not found"}));
    assert_eq!(caller.get(&format!("/deployments/{gone}")).await, deployment);
    assert_eq!(caller.get("/flow_runs/no-uuid").await, (404, json!({"detail": "Not Found"})));
    assert_eq!(caller.get("/nowhere").await, (404, json!({"detail": "Not Found"})));
}

#[tokio::test]
async fn updates_of_a_run_change_what_they_name() {
    let (api, caller) = started(ApiOptions::default()).await;
    let run = api.store().schedule_run(deployed(api.store())).unwrap();
    let path = format!("/flow_runs/{run}");
    assert_eq!(caller.patch(&path, &json!({"infrastructure_pid": "19450"})).await, (204, Value::Null));
    let policy = json!({"retries": 2, "retry_delay": 0, "pause_keys": null});
    caller.patch(&path, &json!({"flow_version": "v", "empirical_policy": policy})).await;
    let labels = json!({"prefect.worker.name": "w1"});
    assert_eq!(caller.patch(&format!("{path}/labels"), &labels).await.0, 204);
    let stored = api.store().run(run).unwrap();
    assert_eq!(stored.infrastructure_pid.as_deref(), Some("19450"));
    assert_eq!((stored.policy.retries, stored.flow_version.as_deref()), (Some(2), Some("v")));
    assert_eq!(stored.labels["prefect.worker.name"], "w1");
    assert!(stored.labels.contains_key("prefect.deployment.id"), "labels are merged");
}

#[tokio::test]
async fn runs_are_filtered_by_id_and_state() {
    let (api, caller) = started(ApiOptions::default()).await;
    let deployment = deployed(api.store());
    let (one, two) = (api.store().schedule_run(deployment).unwrap(), api.store().schedule_run(deployment).unwrap());
    for run in [one, two] {
        caller.post(&set_state_path(run), &state("PENDING", "Pending")).await;
    }
    api.store().cancel_run(two).unwrap();
    let cancelling = |ids: Value| {
        json!({
            "flows": null,
            "flow_runs": {"id": {"any_": ids}, "state": {"type": {"any_": ["CANCELLING"]}}},
            "limit": null,
            "offset": 0,
        })
    };
    let (_, found) = caller.post("/flow_runs/filter", &cancelling(json!([one, two]))).await;
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!((&found[0]["id"], &found[0]["state"]["type"]), (&json!(two), &json!("CANCELLING")));
    let (_, none) = caller.post("/flow_runs/filter", &cancelling(json!([]))).await;
    assert_eq!(none, json!([]), "an empty list matches nothing");
}

#[tokio::test]
async fn a_full_deployment_makes_its_second_run_wait_until_the_first_ends() {
    let (api, caller) = started(ApiOptions::default()).await;
    let deployment = deployed(api.store());
    api.store().set_deployment_limit(deployment, Some(1)).unwrap();
    let (one, two) = (api.store().schedule_run(deployment).unwrap(), api.store().schedule_run(deployment).unwrap());
    let (_, first) = caller.post(&set_state_path(one), &state("PENDING", "Pending")).await;
    let lease = first["state"]["state_details"]["deployment_concurrency_lease_id"].as_str().unwrap().to_owned();
    let (status, second) = caller.post(&set_state_path(two), &state("PENDING", "Pending")).await;
    assert_eq!((status, &second["status"]), (201, &json!("REJECT")));
    assert_eq!(second["state"]["name"], "AwaitingConcurrencySlot");
    let renew = format!("/v2/concurrency_limits/leases/{lease}/renew");
    assert_eq!(caller.post(&renew, &json!({"lease_duration": 300})).await.0, 204);
    caller.post(&set_state_path(one), &state("RUNNING", "Running")).await;
    caller.post(&set_state_path(one), &state("COMPLETED", "Completed")).await;
    assert_eq!(caller.post(&renew, &json!({})).await.0, 410);
    let (_, now_free) = caller.post(&set_state_path(two), &state("PENDING", "Pending")).await;
    assert_eq!(now_free["status"], "ACCEPT");
}

#[tokio::test]
async fn runs_are_made_from_deployments_and_from_flows() {
    let (api, caller) = started(ApiOptions::default()).await;
    let deployment = deployed(api.store());
    let path = format!("/deployments/{deployment}/create_flow_run");
    let (status, run) = caller.post(&path, &json!({"parameters": {"x": 1}, "idempotency_key": "k"})).await;
    assert_eq!((status, &run["state"]["type"], &run["parameters"]), (201, &json!("SCHEDULED"), &json!({"x": 1})));
    assert_eq!(run["work_pool_name"], "pp");
    let (status, same) = caller.post(&path, &json!({"idempotency_key": "k"})).await;
    assert_eq!((status, &same["id"]), (200, &run["id"]));
    let flow = api.store().create_flow("adhoc");
    let (status, adhoc) = caller.post("/flow_runs/", &json!({"flow_id": flow})).await;
    assert_eq!((status, &adhoc["state"]["type"], &adhoc["deployment_id"]), (201, &json!("PENDING"), &Value::Null));
}

#[tokio::test]
async fn a_deleted_deployment_takes_its_waiting_runs_along_unless_they_are_to_stay() {
    let (api, caller) = started(ApiOptions::default()).await;
    let deployment = deployed(api.store());
    let run = api.store().schedule_run(deployment).unwrap();
    assert_eq!(answer(caller.request(Method::DELETE, &format!("/deployments/{deployment}"))).await.0, 204);
    assert_eq!(api.store().run(run), None);
    let deployment = deployed(api.store());
    let run = api.store().schedule_run(deployment).unwrap();
    api.store().delete_deployment(deployment, ScheduledRuns::Keep).unwrap();
    assert_eq!(caller.get(&format!("/deployments/{deployment}")).await.0, 404);
    let forced = json!({"state": {"type": "CANCELLED", "message": "gone"}, "force": true});
    let (status, answer) = caller.post(&set_state_path(run), &forced).await;
    assert_eq!((status, &answer["state"]["name"]), (201, &json!("Cancelled")));
}

#[tokio::test]
async fn secrets_are_masked_unless_asked_for_and_references_are_resolved() {
    let (api, caller) = started(ApiOptions::default()).await;
    let token = api.store().create_block(NewBlock::secret("tok", "s3cret"));
    let path = "/block_types/slug/secret/block_documents/name/tok";
    assert_eq!(caller.get(path).await.1["data"], json!({"value": "********"}));
    let asked = format!("{path}?include_secrets=true");
    assert_eq!(caller.get(&asked).await.1["data"], json!({"value": "s3cret"}));
    let data = json!({"credentials": {"$ref": {"block_document_id": token}}, "url": "u"});
    let outer = api.store().create_block(NewBlock {
        type_slug: "git-repository".to_owned(),
        name: Some("r".to_owned()),
        data: data.as_object().unwrap().clone(),
        secret_fields: Vec::new(),
    });
    let (_, document) = caller.get(&format!("/block_documents/{outer}?include_secrets=true")).await;
    assert_eq!(document["data"], json!({"credentials": {"value": "s3cret"}, "url": "u"}));
    let missing = (404, json!({"detail": "Block document not found"}));
    assert_eq!(caller.get("/block_types/slug/secret/block_documents/name/none").await, missing);
}

#[tokio::test]
async fn variables_hold_any_json() {
    let (api, caller) = started(ApiOptions::default()).await;
    assert_eq!(caller.get("/variables/name/none").await, (404, json!({"detail": "Variable not found."})));
    api.store().set_variable("vv", json!({"a": [1, 2]}));
    assert_eq!(caller.get("/variables/name/vv").await.1["value"], json!({"a": [1, 2]}));
    assert_eq!(caller.post("/variables/", &json!({"name": "vv", "value": 1})).await.0, 409);
}

#[tokio::test]
async fn one_log_line_with_a_worker_id_costs_the_whole_batch() {
    let (api, caller) = started(ApiOptions::default()).await;
    let run = api.store().schedule_run(deployed(api.store())).unwrap();
    let line = json!({
        "name": "prefect.flow_runs.worker",
        "level": 20,
        "message": "hi",
        "timestamp": "2026-11-21T01:45:02.212658Z",
        "flow_run_id": run,
    });
    let mut foreign = line.clone();
    foreign["worker_id"] = json!(Uuid::new_v4());
    let (status, refused) = caller.post("/logs/", &json!([line, foreign])).await;
    assert_eq!((status, &refused["exception_detail"][0]["loc"]), (422, &json!(["body", 1, "worker_id"])));
    assert!(api.store().logs_of(run).is_empty());
    assert_eq!(caller.post("/logs/", &json!([line])).await, (201, Value::Null));
    assert_eq!(api.store().logs_of(run)[0].message, "hi");
}

#[tokio::test]
async fn a_suspended_run_is_resumed_as_a_scheduled_one() {
    let (api, caller) = started(ApiOptions::default()).await;
    let run = api.store().schedule_run(deployed(api.store())).unwrap();
    let resume = format!("/flow_runs/{run}/resume");
    let (status, not_paused) = caller.post(&resume, &json!({"run_input": null})).await;
    assert_eq!((status, &not_paused["status"]), (200, &json!("ABORT")));
    caller.post(&set_state_path(run), &state("RUNNING", "Running")).await;
    let suspended =
        json!({"state": {"type": "PAUSED", "name": "Suspended", "state_details": {"pause_reschedule": true}}});
    caller.post(&set_state_path(run), &suspended).await;
    let (status, resumed) = caller.post(&resume, &json!({})).await;
    assert_eq!((status, &resumed["state"]["name"]), (201, &json!("Resuming")));
}

#[tokio::test]
async fn an_old_server_lacks_what_came_later() {
    let (api, caller) = started(ApiOptions::of_version(Version::new(3, 0, 11))).await;
    let run = api.store().schedule_run(deployed(api.store())).unwrap();
    assert_eq!(caller.get("/admin/version").await, (200, json!("3.0.11")));
    let labels = caller.patch(&format!("/flow_runs/{run}/labels"), &json!({})).await;
    assert_eq!(labels, (404, json!({"detail": "Not Found"})));
    let (_, pool) = caller.get("/work_pools/pp").await;
    assert_eq!(pool.get("storage_configuration"), None);
    caller.post(&set_state_path(run), &state("PENDING", "Pending")).await;
    let (_, submitting) = caller.post(&set_state_path(run), &state("PENDING", "Submitting")).await;
    assert_eq!(submitting["status"], "ABORT");
}

#[tokio::test]
async fn what_is_waited_for_is_seen_before_and_after_it_happens() {
    let (api, caller) = started(ApiOptions::default()).await;
    let store = api.store();
    let run = store.schedule_run(deployed(store)).unwrap();
    let pending = store.wait_until("the run is pending", BOUND, |tables| {
        tables.run(run).ok().filter(|run| run.state_name() == "Pending").map(|run| run.history.len())
    });
    let path = set_state_path(run);
    let body = state("PENDING", "Pending");
    let claim = caller.post(&path, &body);
    let (waited, _) = tokio::join!(pending, claim);
    assert_eq!(waited, Ok(2));
    let never = store.wait_until("never", Duration::ZERO, |_| None::<()>).await;
    assert_eq!(never.unwrap_err().to_string(), "not met within 0ns: never");
}

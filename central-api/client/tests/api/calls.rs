use central_api_client::ApiError;
use central_api_wire::flow_run::{AnyOf, FlowRunFilter, FlowRunUpdate, FlowRunsFilterRequest, ScheduledRunsRequest};
use central_api_wire::state::StateType;
use central_api_wire::work_pool::{Heartbeat, WorkPoolCreate, WorkPoolUpdate};
use http::Method;
use serde_json::{Map, Value, json};
use uuid::Uuid;
use worker_core::ids::RunId;

use crate::support::{Reply, Server};

const RUN: &str = "00000000-0000-0000-0000-000000000001";
const POOL: &str = "00000000-0000-0000-0000-000000000002";

fn pool() -> Value {
    json!({ "id": POOL, "name": "p", "type": "process", "base_job_template": {}, "status": null, "new": 1 })
}

fn run(id: &str) -> Value {
    json!({ "id": id, "name": "r", "flow_id": POOL, "state": null, "state_type": "SCHEDULED" })
}

#[tokio::test]
async fn pools_are_read_created_and_changed() {
    let server = Server::replying([Reply::json(200, &pool()), Reply::json(201, &pool()), Reply::empty(204)]).await;
    let client = server.client();
    assert_eq!(client.work_pool("my pool").await.unwrap().pool_type, "process");
    let create = WorkPoolCreate { name: "p".to_owned(), pool_type: "process".to_owned(), base_job_template: None };
    client.create_work_pool(&create).await.unwrap();
    client.update_work_pool("p", &WorkPoolUpdate { base_job_template: Some(Map::new()) }).await.unwrap();
    let requests = server.requests();
    let lines: Vec<_> = requests.iter().map(|request| (request.method.clone(), request.path.as_str())).collect();
    assert_eq!(
        lines,
        [(Method::GET, "/work_pools/my%20pool"), (Method::POST, "/work_pools/"), (Method::PATCH, "/work_pools/p"),]
    );
    assert_eq!(requests[1].json(), json!({ "name": "p", "type": "process" }));
    assert_eq!(requests[1].header("content-type"), Some("application/json"));
    assert_eq!(requests[2].json(), json!({ "base_job_template": {} }));
}

#[tokio::test]
async fn all_pools_are_listed_page_by_page() {
    let mut page = vec![pool(); 199];
    page.push(json!({ "name": "of an unknown shape" }));
    let server = Server::replying([Reply::json(200, &json!(page)), Reply::json(200, &json!([pool()]))]).await;
    let pools = server.client().work_pools().await.unwrap();
    assert_eq!(pools.len(), 200, "the odd one is left out and ends no page");
    let requests = server.requests();
    assert_eq!(requests[0].path, "/work_pools/filter");
    assert_eq!(requests[1].json(), json!({ "limit": 200, "offset": 200 }));
}

#[tokio::test]
async fn queues_are_listed_by_name_or_all() {
    let queues = json!([{ "id": POOL, "name": "default", "priority": 1 }]);
    let server = Server::replying([Reply::json(200, &queues), Reply::json(200, &queues)]).await;
    let client = server.client();
    assert_eq!(client.work_queues("p", None).await.unwrap()[0].name, "default");
    client.work_queues("p", Some(&["a".to_owned()])).await.unwrap();
    let requests = server.requests();
    assert_eq!(requests[0].path, "/work_pools/p/queues/filter");
    assert_eq!(requests[0].json()["work_queues"], Value::Null);
    assert_eq!(requests[1].json()["work_queues"], json!({ "name": { "any_": ["a"] } }));
}

#[tokio::test]
async fn a_heartbeat_brings_back_the_id_that_cloud_gives() {
    let server = Server::replying([Reply::empty(204), Reply::json(200, &json!(RUN))]).await;
    let client = server.client();
    let mut heartbeat =
        Heartbeat { name: "w".to_owned(), heartbeat_interval_seconds: Some(30), return_id: None, metadata: None };
    assert_eq!(client.heartbeat("p", &heartbeat).await.unwrap(), None);
    heartbeat.return_id = Some(true);
    assert_eq!(client.heartbeat("p", &heartbeat).await.unwrap().unwrap().to_string(), RUN);
    let requests = server.requests();
    assert_eq!(requests[0].path, "/work_pools/p/workers/heartbeat");
    assert_eq!(requests[0].json(), json!({ "name": "w", "heartbeat_interval_seconds": 30 }));
}

#[tokio::test]
async fn a_poll_keeps_the_readable_rows_in_order() {
    let row = |id: &str| json!({ "work_pool_id": POOL, "work_queue_id": POOL, "flow_run": run(id) });
    let odd = json!({ "work_pool_id": POOL, "flow_run": { "id": "not a uuid" } });
    let second = "00000000-0000-0000-0000-000000000009";
    let server = Server::replying([Reply::json(200, &json!([row(RUN), odd, row(second)]))]).await;
    let request = ScheduledRunsRequest { work_queue_names: Some(vec![]), ..ScheduledRunsRequest::default() };
    let runs = server.client().scheduled_runs("p", &request).await.unwrap();
    assert_eq!(runs.iter().map(|row| row.flow_run.id.to_string()).collect::<Vec<_>>(), [RUN, second]);
    assert_eq!(server.requests()[0].json(), json!({ "work_queue_names": [] }));
}

#[tokio::test]
async fn runs_and_what_they_are_made_from_are_read_and_changed() {
    let server = Server::replying([
        Reply::json(200, &run(RUN)),
        Reply::json(200, &json!({ "id": RUN, "name": "f" })),
        Reply::json(200, &json!({ "id": RUN, "name": "d", "flow_id": RUN, "infra_overrides": { "a": 1 } })),
        Reply::json(200, &json!([run(RUN), { "id": 3 }])),
        Reply::empty(204),
        Reply::empty(204),
    ])
    .await;
    let client = server.client();
    let id = RunId(Uuid::from_u128(1));
    assert_eq!(client.flow_run(id).await.unwrap().state, None);
    assert_eq!(client.flow(RUN.parse().unwrap()).await.unwrap().name, "f");
    assert_eq!(client.deployment(RUN.parse().unwrap()).await.unwrap().job_variables.unwrap()["a"], 1);
    assert_eq!(client.flow_runs(&FlowRunsFilterRequest::default()).await.unwrap().len(), 1);
    client.update_flow_run(id, &FlowRunUpdate { infrastructure_pid: Some("42".to_owned()) }).await.unwrap();
    client.update_labels(id, &Map::from_iter([("a".to_owned(), json!("b"))])).await.unwrap();
    let paths: Vec<String> = server.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(
        paths,
        [
            format!("/flow_runs/{RUN}"),
            format!("/flows/{RUN}"),
            format!("/deployments/{RUN}"),
            "/flow_runs/filter".to_owned(),
            format!("/flow_runs/{RUN}"),
            format!("/flow_runs/{RUN}/labels"),
        ]
    );
}

#[tokio::test]
async fn several_runs_are_read_at_once_with_their_states() {
    let details = json!({ "flow_run_id": RUN, "transition_id": RUN });
    let mut known = run(RUN);
    known["state_type"] = json!("PENDING");
    known["state"] = json!({ "id": RUN, "type": "PENDING", "name": "Pending", "state_details": details });
    let server = Server::replying([Reply::json(200, &json!([known]))]).await;
    let ids = vec![RUN.parse().unwrap(), RunId(Uuid::from_u128(9))];
    let flow_runs = Some(FlowRunFilter { id: Some(AnyOf { any_: ids }), ..FlowRunFilter::default() });
    let request = FlowRunsFilterRequest { flow_runs, limit: Some(200), ..FlowRunsFilterRequest::default() };
    let runs = server.client().flow_runs(&request).await.unwrap();
    assert_eq!(runs.len(), 1, "a deleted run is not in the answer");
    assert_eq!(runs[0].state_type, Some(StateType::Pending));
    assert_eq!(runs[0].state.as_ref().unwrap().state_details.transition_id, Some(RUN.parse().unwrap()));
    let sent = server.requests()[0].json();
    assert_eq!(sent["flow_runs"], json!({ "id": { "any_": [RUN, Uuid::from_u128(9)] } }));
    assert_eq!(sent["limit"], 200);
}

#[tokio::test]
async fn an_old_server_that_knows_no_labels_is_asked_once() {
    let server = Server::replying([Reply::json(404, &json!({ "detail": "Not Found" }))]).await;
    let error = server.client().update_labels(RunId(Uuid::nil()), &Map::new()).await.unwrap_err();
    assert!(error.is_unknown_path(), "{error:?}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn blocks_come_with_their_secrets_and_a_missing_variable_is_none() {
    let block = json!({ "id": RUN, "name": "b", "data": { "value": "secret" }, "block_type": { "slug": "secret", "name": "S" } });
    let missing = Reply::json(404, &json!({ "detail": "Variable not found" }));
    let server = Server::replying([
        Reply::json(200, &block),
        Reply::json(200, &block),
        Reply::json(200, &json!({ "id": RUN, "name": "v", "value": [1], "tags": [] })),
        missing,
        Reply::json(404, &json!({ "detail": "Block document not found" })),
    ])
    .await;
    let client = server.client();
    let found = client.block_by_id(RUN.parse().unwrap()).await.unwrap();
    assert_eq!((&found.data["value"], found.block_type.unwrap().slug.as_str()), (&json!("secret"), "secret"));
    client.block_by_name("secret", "my-key").await.unwrap();
    assert_eq!(client.variable("v").await.unwrap().unwrap().value, json!([1]));
    assert!(client.variable("w").await.unwrap().is_none());
    assert!(client.block_by_name("secret", "none").await.err().unwrap().is_not_found());
    let paths: Vec<String> = server.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(paths[0], format!("/block_documents/{RUN}?include_secrets=true"));
    assert_eq!(paths[1], "/block_types/slug/secret/block_documents/name/my-key?include_secrets=true");
    assert_eq!(paths[2], "/variables/name/v");
}

#[tokio::test]
async fn redirects_are_followed() {
    let moved = Reply::empty(307).header("location", "/api/elsewhere");
    let server = Server::replying([moved, Reply::json(200, &pool())]).await;
    server.client().work_pool("p").await.unwrap();
    assert_eq!(server.requests()[1].path, "/elsewhere");
}

#[tokio::test]
async fn a_login_page_is_no_answer_to_a_change_either() {
    let server = Server::replying([Reply::html(200)]).await;
    let error = server.client().update_work_pool("p", &WorkPoolUpdate::default()).await.unwrap_err();
    assert!(matches!(error, ApiError::Undecodable { status: 200 }));
}

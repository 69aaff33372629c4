//! A central API as its users see it, over plain HTTP.
//!
//! The test API and a real Prefect server are used through the same calls: so a scenario that passes on both proves the
//! worker on the first, and the first on the second. What the API refuses makes the scenario fail.

use std::time::Duration;

use central_api_wire::event::Event;
use central_api_wire::flow_run::FlowRun;
use central_api_wire::log::LogLine;
use central_api_wire::state::{SetStateResponse, State};
use central_api_wire::work_pool::WorkPool;
use http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use uuid::Uuid;
use worker_core::ids::{BlockDocumentId, DeploymentId, FlowId, RunId};

use super::specs::{DeploymentSpec, RunSpec};
use super::wait::PATIENT;

const ASK_AGAIN: Duration = Duration::from_millis(100);

/// A client of a server's REST API, without authentication.
#[derive(Clone, Debug)]
pub struct Rest {
    api_url: String,
    client: reqwest::Client,
}

impl Rest {
    /// A client for the server at `api_url`.
    pub fn new(api_url: &str) -> Self {
        // Refused when another client of this process has done it already, with the same provider.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_mins(1))
            .build()
            .expect("a client without peculiarities");
        Self { api_url: api_url.to_owned(), client }
    }

    /// One call. A server whose database is a file answers 503 while another writer is busy, so that is tried again.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        let deadline = Instant::now() + PATIENT;
        loop {
            let answer = self.ask(method.clone(), path, body).await;
            match answer {
                Ok((status, answer)) if status != StatusCode::SERVICE_UNAVAILABLE => return (status, answer),
                _ => assert!(Instant::now() < deadline, "{method} {path} is not answered: {answer:?}"),
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> reqwest::Result<(StatusCode, Value)> {
        let mut request = self.client.request(method, format!("{}{path}", self.api_url));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    async fn read<T: DeserializeOwned>(&self, path: &str) -> Option<T> {
        match self.call(Method::GET, path, None).await {
            (StatusCode::NOT_FOUND, _) => None,
            (status, answer) => Some(decoded(&format!("GET {path}"), status, &answer)),
        }
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: Value) -> T {
        let (status, answer) = self.call(Method::POST, path, Some(&body)).await;
        decoded(&format!("POST {path} {body}"), status, &answer)
    }

    /// Makes something with a name. "Exists already" is the answer to a repeat whose first answer did not come in time.
    async fn create(&self, path: &str, body: &Value) {
        let (status, answer) = self.call(Method::POST, path, Some(body)).await;
        assert!(status.is_success() || status == StatusCode::CONFLICT, "POST {path}: {status} {answer}");
    }

    async fn change(&self, method: Method, path: &str, body: Option<Value>) {
        let (status, answer) = self.call(method.clone(), path, body.as_ref()).await;
        assert!(status.is_success(), "{method} {path}: {status} {answer}");
    }
}

fn decoded<T: DeserializeOwned>(what: &str, status: StatusCode, answer: &Value) -> T {
    assert!(status.is_success(), "{what}: {status} {answer}");
    serde_json::from_value(answer.clone()).unwrap_or_else(|error| panic!("{what}: {error} in {answer}"))
}

/// A name as a segment of a path.
fn segment(name: &str) -> String {
    let encoded = name.bytes().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    encoded.collect()
}

fn id_of<T: DeserializeOwned>(created: &Value) -> T {
    serde_json::from_value(created["id"].clone()).unwrap_or_else(|error| panic!("{error} in {created}"))
}

/// What users do.
impl Rest {
    /// The address for `PREFECT_API_URL`.
    pub fn api_url(&self) -> &str {
        &self.api_url
    }

    /// Makes a work pool.
    pub async fn create_pool(&self, name: &str, pool_type: &str, template: Map<String, Value>) {
        let body = json!({"name": name, "type": pool_type, "base_job_template": template});
        self.create("/work_pools/", &body).await;
    }

    /// A work pool; `None` if there is none of that name.
    pub async fn pool(&self, name: &str) -> Option<WorkPool> {
        self.read(&format!("/work_pools/{}", segment(name))).await
    }

    /// Changes fields of a work pool.
    pub async fn update_pool(&self, name: &str, changes: Value) {
        self.change(Method::PATCH, &format!("/work_pools/{}", segment(name)), Some(changes)).await;
    }

    /// Makes a queue.
    pub async fn create_queue(&self, pool: &str, name: &str, priority: u32) {
        let body = json!({"name": name, "priority": priority});
        self.create(&format!("/work_pools/{}/queues", segment(pool)), &body).await;
    }

    /// Changes fields of a queue.
    pub async fn update_queue(&self, pool: &str, name: &str, changes: Value) {
        self.change(Method::PATCH, &format!("/work_pools/{}/queues/{}", segment(pool), segment(name)), Some(changes))
            .await;
    }

    /// When a worker last asked for runs of a queue.
    pub async fn last_polled(&self, pool: &str, queue: &str) -> Option<Timestamp> {
        let queue: Value = self.read(&format!("/work_pools/{}/queues/{}", segment(pool), segment(queue))).await?;
        queue["last_polled"].as_str()?.parse().ok()
    }

    /// Names of the workers that a pool knows.
    pub async fn workers(&self, pool: &str) -> Vec<String> {
        let workers: Vec<Value> = self.post(&format!("/work_pools/{}/workers/filter", segment(pool)), json!({})).await;
        workers.iter().filter_map(|worker| worker["name"].as_str()).map(str::to_owned).collect()
    }

    /// Makes a flow, or finds it.
    pub async fn create_flow(&self, name: &str) -> FlowId {
        id_of(&self.post("/flows/", json!({"name": name})).await)
    }

    /// Makes a deployment.
    pub async fn create_deployment(&self, flow: FlowId, spec: DeploymentSpec) -> DeploymentId {
        let body = json!({
            "name": spec.name, "flow_id": flow, "work_pool_name": spec.pool, "work_queue_name": spec.queue,
            "job_variables": spec.job_variables, "tags": spec.tags, "pull_steps": spec.pull_steps,
            "path": spec.path, "storage_document_id": spec.storage_block, "entrypoint": spec.entrypoint,
            "concurrency_limit": spec.concurrency_limit,
            "concurrency_options": spec.collision.map(|collision| json!({"collision_strategy": collision})),
            "enforce_parameter_schema": false,
        });
        id_of(&self.post("/deployments/", body).await)
    }

    /// Makes a block of a type that the server knows.
    pub async fn create_block(&self, type_slug: &str, name: &str, data: Value) -> BlockDocumentId {
        let block_type: Option<Value> = self.read(&format!("/block_types/slug/{type_slug}")).await;
        let block_type = block_type.unwrap_or_else(|| panic!("there is no block type {type_slug}"))["id"].take();
        let of_type = json!({"block_schemas": {"block_type_id": {"any_": [block_type]}}});
        let schemas: Vec<Value> = self.post("/block_schemas/filter", of_type).await;
        let schema = schemas.first().map(|schema| schema["id"].clone());
        let body = json!({"name": name, "data": data, "block_type_id": block_type, "block_schema_id": schema});
        id_of(&self.post("/block_documents/", body).await)
    }

    /// The deployment of a flow by name.
    pub async fn deployment_named(&self, flow: &str, name: &str) -> DeploymentId {
        let found: Option<Value> = self.read(&format!("/deployments/name/{flow}/{name}")).await;
        id_of(&found.unwrap_or_else(|| panic!("there is no deployment {flow}/{name}")))
    }

    /// Deletes a deployment. Its runs stay.
    pub async fn delete_deployment(&self, id: DeploymentId) {
        self.change(Method::DELETE, &format!("/deployments/{id}"), None).await;
    }

    /// Makes a run.
    pub async fn create_run(&self, deployment: DeploymentId, spec: RunSpec) -> RunId {
        let due = spec.due.unwrap_or_else(Timestamp::now);
        // A call whose answer does not come in time is repeated, and must not make a second run.
        let body = json!({
            "idempotency_key": Uuid::new_v4(),
            "job_variables": spec.job_variables, "parameters": spec.parameters, "tags": spec.tags,
            "state": {"type": "SCHEDULED", "name": "Scheduled", "state_details": {"scheduled_time": due}},
        });
        id_of(&self.post(&format!("/deployments/{deployment}/create_flow_run"), body).await)
    }

    /// Deletes a run.
    pub async fn delete_run(&self, id: RunId) {
        self.change(Method::DELETE, &format!("/flow_runs/{id}"), None).await;
    }

    /// A run; `None` if there is none.
    pub async fn run(&self, id: RunId) -> Option<FlowRun> {
        self.read(&format!("/flow_runs/{id}")).await
    }

    /// All states of a run, oldest first.
    pub async fn states(&self, id: RunId) -> Vec<State> {
        let mut states: Vec<State> =
            self.read(&format!("/flow_run_states/?flow_run_id={id}")).await.unwrap_or_default();
        states.sort_by_key(|state| state.timestamp);
        states
    }

    /// Proposes a state, `{"type": …, "name": …}`.
    pub async fn set_state(&self, id: RunId, state: Value, force: bool) -> SetStateResponse {
        self.post(&format!("/flow_runs/{id}/set_state"), json!({"state": state, "force": force})).await
    }

    /// Resumes a paused run.
    pub async fn resume(&self, id: RunId) {
        self.change(Method::POST, &format!("/flow_runs/{id}/resume"), Some(json!({}))).await;
    }

    /// The log of a run, oldest line first.
    pub async fn logs(&self, id: RunId) -> Vec<LogLine> {
        let body = json!({"logs": {"flow_run_id": {"any_": [id]}}, "sort": "TIMESTAMP_ASC", "limit": 200});
        self.post("/logs/filter", body).await
    }

    /// The events of a name that concern a resource, oldest first.
    pub async fn events(&self, name: &str, resource: &str) -> Vec<Event> {
        let (now, hour) = (Timestamp::now(), SignedDuration::from_hours(1));
        let filter = json!({
            "occurred": {"since": now - hour, "until": now + hour},
            "event": {"name": [name]}, "any_resource": {"id": [resource]}, "order": "ASC",
        });
        let mut page: Value = self.post("/events/filter", json!({"filter": filter, "limit": 50})).await;
        serde_json::from_value(page["events"].take()).unwrap_or_else(|error| panic!("{error} in {page}"))
    }
}

//! The least that a worker can do: the calls, the process and the wait, and nothing that makes it a worker. No journal, no
//! supervisor, no retries, no log, no events.

use std::io::Read as _;
use std::sync::Arc;

use clap::ValueEnum;
use futures::StreamExt as _;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::process::Command;

/// Runs that are under way at the same time.
const AT_ONCE: usize = 16;

/// What the loop does of its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The calls and the processes
    All,
    /// The calls only: a load generator, which shows what the API bears
    Calls,
    /// The processes only: what the machine bears
    Processes,
}

struct Loop {
    client: Client,
    api: String,
    part: Part,
}

/// Executes so many due runs of a pool, says so, and stays until its input ends, so that it can be looked at.
pub(crate) async fn run(api: &str, pool: &str, runs: usize, part: Part) {
    // Refused when it has been done already, with the same provider.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = Client::builder().no_proxy().build().expect("a client without peculiarities");
    let bare = Arc::new(Loop { client, api: api.to_owned(), part });
    if part == Part::Processes {
        futures::stream::iter(0..runs)
            .map(|_| spawned(execute_command()))
            .buffer_unordered(AT_ONCE)
            .collect::<()>()
            .await;
    } else {
        bare.drain(pool, runs).await;
    }
    println!("{DONE}");
    let mut input = Vec::new();
    // Nothing else is to be done meanwhile.
    drop(std::io::stdin().read_to_end(&mut input));
}

/// What it says when all runs are over.
pub(crate) const DONE: &str = "the bare loop is done";

/// In a task of its own, so that all processors take part.
async fn spawned(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work).await.expect("a part of the bare loop failed");
}

async fn execute_command() {
    let ended = Command::new("/bin/true").status().await;
    assert!(ended.is_ok_and(|status| status.success()), "`true` cannot be executed");
}

impl Loop {
    async fn drain(self: Arc<Self>, pool: &str, runs: usize) {
        let mut executed = 0;
        while executed < runs {
            let path = format!("/work_pools/{pool}/get_scheduled_flow_runs");
            let due = self.call(Method::POST, &path, &json!({"limit": 200})).await;
            let due = due.as_array().cloned().unwrap_or_default();
            executed += due.len();
            let each = due.into_iter().map(|run| {
                let bare = Arc::clone(&self);
                spawned(async move { bare.execute(run.get("flow_run").unwrap_or(&Value::Null)).await })
            });
            futures::stream::iter(each).buffer_unordered(AT_ONCE).collect::<()>().await;
        }
    }

    /// Seven calls, a process and a wait.
    async fn execute(&self, run: &Value) {
        let text = |field: &str| run.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let id = text("id");
        let state = |kind: &str| json!({"state": {"type": kind}, "force": false});
        self.call(Method::GET, &format!("/deployments/{}", text("deployment_id")), &Value::Null).await;
        self.call(Method::GET, &format!("/flows/{}", text("flow_id")), &Value::Null).await;
        self.call(Method::POST, &format!("/flow_runs/{id}/set_state"), &state("PENDING")).await;
        self.call(Method::GET, &format!("/flow_runs/{id}"), &Value::Null).await;
        let process = (self.part == Part::All).then(|| tokio::spawn(execute_command()));
        self.call(Method::PATCH, &format!("/flow_runs/{id}"), &json!({"infrastructure_pid": "1"})).await;
        self.call(Method::POST, &format!("/flow_runs/{id}/set_state"), &state("RUNNING")).await;
        if let Some(process) = process {
            process.await.expect("a process of the bare loop failed");
        }
        self.call(Method::POST, &format!("/flow_runs/{id}/set_state"), &state("COMPLETED")).await;
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> Value {
        let request = self.client.request(method, format!("{}{path}", self.api));
        let request = if body.is_null() { request } else { request.json(body) };
        let answer = request.send().await.expect("the API in memory answers");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.json().await.unwrap_or_default()
    }
}

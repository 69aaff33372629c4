//! A place for scenarios: an API, and pools in it that nobody else uses.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use central_api_wire::flow_run::FlowRun;
use central_api_wire::log::LogLine;
use central_api_wire::state::{SetStateResponse, State, StateType};
use serde_json::{Map, Value, json};
use worker_core::ids::{DeploymentId, FlowId, RunId};

use super::daemon::DaemonSpec;
use super::rest::Rest;
use super::specs::{DeploymentSpec, RunSpec};
use super::wait::{PATIENT, SOON, until_every};

/// An API and what is needed to use it.
#[derive(Clone, Debug)]
pub struct Lab {
    /// The API.
    pub api: Rest,
    /// Bound for what this API takes part in.
    pub patience: Duration,
    /// Time between two looks at it.
    pause: Duration,
    made: Arc<AtomicU32>,
}

impl Lab {
    /// A place around the test API.
    pub fn new(api_url: &str) -> Self {
        Self { api: Rest::new(api_url), patience: SOON, pause: Duration::from_millis(20), made: Arc::default() }
    }

    /// A place around a real server. With a database that is a file, it can be blocked by its own writers for a minute,
    /// and being asked too often is what it spends its time on.
    pub fn on_server(api_url: &str) -> Self {
        Self { patience: PATIENT, pause: Duration::from_millis(200), ..Self::new(api_url) }
    }

    /// `worker start` against this API.
    pub fn daemon(&self) -> DaemonSpec {
        DaemonSpec::start(self.api.api_url()).patient(self.patience)
    }

    /// A name that was not given out before.
    pub fn fresh_name(&self, of: &str) -> String {
        format!("{of}-{}", self.made.fetch_add(1, Ordering::Relaxed))
    }

    /// A new pool of type process with a flow to deploy to it.
    pub async fn pool(&self) -> LabPool {
        self.pool_with(process_template()).await
    }

    /// A new pool of type process with a template of its own.
    pub async fn pool_with(&self, template: Map<String, Value>) -> LabPool {
        let name = self.fresh_name("pool");
        self.api.create_pool(&name, "process", template).await;
        self.pool_named(&name).await
    }

    /// A pool that is there already, or that a worker will make.
    pub async fn pool_named(&self, name: &str) -> LabPool {
        let flow = self.api.create_flow(&self.fresh_name("flow")).await;
        LabPool { lab: self.clone(), name: name.to_owned(), flow }
    }

    /// Looks at the API again and again until there is something to return.
    pub async fn until<T>(&self, what: impl Display, look: impl AsyncFnMut() -> Option<T>) -> T {
        until_every(self.pause, self.patience, what, look).await
    }

    /// The run, which must exist.
    pub async fn run(&self, id: RunId) -> FlowRun {
        self.api.run(id).await.unwrap_or_else(|| panic!("run {id} is gone"))
    }

    /// Waits until a run is in a state of this type and returns the state.
    pub async fn reaches(&self, id: RunId, state_type: StateType) -> State {
        self.reaches_within(id, state_type, self.patience).await
    }

    /// The same with another bound.
    pub async fn reaches_within(&self, id: RunId, state_type: StateType, bound: Duration) -> State {
        let what = format!("run {id} to be {state_type}");
        until_every(self.pause, bound, what, async || {
            let run = self.run(id).await;
            let state = run.state.filter(|state| state.state_type == state_type);
            let other = run.state_type.filter(|other| other.is_terminal() && *other != state_type);
            assert!(other.is_none(), "run {id} was to be {state_type} and is {other:?}");
            state
        })
        .await
    }

    /// Waits until a run is in an end state and returns the state.
    pub async fn ends(&self, id: RunId, bound: Duration) -> State {
        let what = format!("run {id} to end");
        until_every(self.pause, bound, what, async || {
            self.run(id).await.state.filter(|state| state.state_type.is_terminal())
        })
        .await
    }

    /// The names of all states of a run, oldest first.
    pub async fn history(&self, id: RunId) -> Vec<String> {
        self.api.states(id).await.iter().map(|state| state.name().to_owned()).collect()
    }

    /// Asks for a run to be cancelled, as a user does.
    pub async fn cancel(&self, id: RunId) -> SetStateResponse {
        self.api.set_state(id, json!({"type": "CANCELLING", "name": "Cancelling"}), false).await
    }

    /// Waits for a line of a run's log that holds `text`.
    pub async fn logged(&self, id: RunId, text: &str) -> LogLine {
        self.until(format!("{text:?} in the log of run {id}"), async || {
            self.api.logs(id).await.into_iter().find(|line| line.message.contains(text))
        })
        .await
    }

    /// Waits until the worker has announced the end of a run's infrastructure.
    pub async fn executed(&self, id: RunId) -> central_api_wire::event::Event {
        self.until(format!("the executed event of run {id}"), async || {
            self.api.events("prefect.worker.executed-flow-run", &run_resource(id)).await.pop()
        })
        .await
    }
}

/// The id of a run as a resource of events.
pub fn run_resource(id: RunId) -> String {
    format!("prefect.flow-run.{id}")
}

/// A pool that nobody else uses.
#[derive(Clone, Debug)]
pub struct LabPool {
    /// Where it is.
    pub lab: Lab,
    /// Its name.
    pub name: String,
    /// A flow whose deployments go to it.
    pub flow: FlowId,
}

impl LabPool {
    /// `worker start` for this pool.
    pub fn daemon(&self) -> DaemonSpec {
        self.lab.daemon().pool(&self.name)
    }

    /// A deployment of this pool.
    pub async fn deployment(&self, spec: DeploymentSpec) -> DeploymentId {
        let spec = DeploymentSpec { name: self.lab.fresh_name("deployment"), pool: self.name.clone(), ..spec };
        self.lab.api.create_deployment(self.flow, spec).await
    }

    /// A deployment whose runs execute a command that knows nothing of Prefect; the worker reports for it.
    pub async fn command(&self, command: &str) -> DeploymentId {
        self.deployment(DeploymentSpec { job_variables: command_variables(command), ..DeploymentSpec::default() }).await
    }

    /// A deployment whose runs execute a command in the place of Prefect's engine: what is reported is up to it.
    pub async fn engine(&self, command: &str) -> DeploymentId {
        let job_variables = Map::from_iter([("command".to_owned(), json!(command))]);
        self.deployment(DeploymentSpec { job_variables, ..DeploymentSpec::default() }).await
    }

    /// Like [`LabPool::command`], with at most `limit` runs claimed or running at a time.
    pub async fn limited(&self, limit: u32, collision: &'static str, command: &str) -> DeploymentId {
        self.deployment(DeploymentSpec {
            concurrency_limit: Some(limit),
            collision: Some(collision),
            job_variables: command_variables(command),
            ..DeploymentSpec::default()
        })
        .await
    }

    /// A run of a deployment, due now.
    pub async fn run(&self, deployment: DeploymentId) -> RunId {
        self.lab.api.create_run(deployment, RunSpec::default()).await
    }

    /// A run that is due and whose deployment is gone. A server deletes scheduled runs with their deployment, but not
    /// those that are between two states at that moment.
    pub async fn orphan(&self, command: &str) -> (RunId, DeploymentId) {
        let api = &self.lab.api;
        let deployment = self.command(command).await;
        let run = self.run(deployment).await;
        api.set_state(run, json!({"type": "PENDING"}), true).await;
        api.delete_deployment(deployment).await;
        let due = json!({"scheduled_time": jiff::Timestamp::now()});
        api.set_state(run, json!({"type": "SCHEDULED", "state_details": due}), true).await;
        (run, deployment)
    }

    /// Waits until a queue of the pool was polled `times` more times, each poll begun after this call.
    pub async fn polled(&self, queue: &str, times: u32) {
        let mut last = self.lab.api.last_polled(&self.name, queue).await;
        // The first one seen may have begun before.
        for _ in 0..=times {
            last = self
                .lab
                .until(format!("a poll of {}/{queue}", self.name), async || {
                    let polled = self.lab.api.last_polled(&self.name, queue).await;
                    (polled > last).then_some(polled)
                })
                .await;
        }
    }
}

/// Job variables of a run that executes a command which knows nothing of Prefect.
pub fn command_variables(command: &str) -> Map<String, Value> {
    Map::from_iter([("command".to_owned(), json!(command)), ("report_state".to_owned(), json!("worker"))])
}

/// A base job template of the process kind with the variables that scenarios set.
pub fn process_template() -> Map<String, Value> {
    let template = json!({
        "job_configuration": {
            "command": "{{ command }}", "env": "{{ env }}", "labels": "{{ labels }}", "name": "{{ name }}",
            "stream_output": "{{ stream_output }}", "working_dir": "{{ working_dir }}",
        },
        "variables": {"type": "object", "properties": {
            "name": {"title": "Name", "anyOf": [{"type": "string"}, {"type": "null"}], "default": null},
            "env": {"title": "Environment Variables", "type": "object",
                "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
            "labels": {"title": "Labels", "type": "object", "additionalProperties": {"type": "string"}},
            "command": {"title": "Command", "anyOf": [{"type": "string"}, {"type": "null"}], "default": null},
            "stream_output": {"title": "Stream Output", "type": "boolean", "default": true},
            "working_dir": {"title": "Working Directory", "default": null,
                "anyOf": [{"type": "string", "format": "path"}, {"type": "null"}]},
        }},
    });
    template.as_object().expect("it is written as an object above").clone()
}

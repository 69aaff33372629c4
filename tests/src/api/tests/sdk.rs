//! The flow process of the unmodified Python SDK against this API.

use std::process::Stdio;

use serde_json::json;
use tokio::process::Command;

use super::*;
use crate::api::store::{EventQuery, NewRun};
use crate::harness::python_program;

/// Python starts slowly on a busy machine.
const PYTHON_BOUND: Duration = Duration::from_mins(2);

const FLOW: &str = r#"
from prefect import flow, get_run_logger, task
from prefect.variables import Variable

@task
def double(x):
    return 2 * x

@flow
def child():
    return "ok"

@flow
def parent(x: int = 1):
    get_run_logger().info("doubled: %s", double(x))
    get_run_logger().info("variable: %s", Variable.get("colour"))
    child()

@flow
def broken():
    raise ValueError("boom")
"#;

async fn run_engine(api: &TestApi, run: RunId, function: &str) -> std::process::Output {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("flows.py");
    fs_err::write(&file, FLOW).unwrap();
    let engine = Command::new(python_program("python"))
        .args(["-m", "prefect.engine"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("PREFECT_HOME", home.path())
        .env("PREFECT_API_URL", api.url().as_str())
        .env("PREFECT__FLOW_RUN_ID", run.to_string())
        .env("PREFECT__FLOW_ENTRYPOINT", format!("{}:{function}", file.display()))
        .current_dir(home.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    tokio::time::timeout(PYTHON_BOUND, engine).await.expect("the engine ends in time").unwrap()
}

fn claimed(api: &TestApi, parameters: &Value) -> RunId {
    let deployment = deployed(api.store());
    let change = |new: &mut NewRun| new.parameters = parameters.as_object().unwrap().clone();
    let run = api.store().schedule_run_with(deployment, change).unwrap();
    let pending = serde_json::from_value(json!({"type": "PENDING"})).unwrap();
    api.store().propose(run, pending, false).unwrap();
    run
}

#[tokio::test]
async fn the_sdk_engine_runs_a_flow_with_a_task_and_a_subflow_to_its_end() {
    let (api, _caller) = started(ApiOptions::default()).await;
    api.store().set_variable("colour", "green");
    let run = claimed(&api, &json!({"x": 21}));
    let ended = run_engine(&api, run, "parent").await;
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(api.store().state_names(run), ["Scheduled", "Pending", "Running", "Completed"]);
    let stored = api.store().run(run).unwrap();
    assert_eq!(stored.run_count, 1);
    let messages: Vec<String> = api.store().logs_of(run).into_iter().map(|line| line.message).collect();
    assert!(messages.contains(&"doubled: 42".to_owned()), "{messages:?}");
    assert!(messages.contains(&"variable: green".to_owned()), "{messages:?}");
    api.store().read(|tables| {
        let child = tables.runs().find(|other| other.parent_task_run_id.is_some()).expect("a run of the subflow");
        assert_eq!(child.state_name(), "Completed");
        assert!(tables.events_named("prefect.task-run.Completed").next().is_some(), "tasks tell of themselves");
        let unserved: Vec<_> = tables.requests().iter().filter(|request| request.status == Some(404)).collect();
        assert!(unserved.is_empty(), "the SDK missed {unserved:?}");
    });
    let of_run = json!({"resource": {"id": [format!("prefect.flow-run.{run}")]}});
    let of_run: EventQuery = serde_json::from_value(of_run).unwrap();
    let told: Vec<_> = api.store().events().into_iter().filter(|stored| of_run.matches(&stored.event)).collect();
    assert!(told.iter().any(|stored| stored.event.event == "prefect.flow-run.Completed"), "{told:?}");
}

#[tokio::test]
async fn the_sdk_engine_reports_a_flow_that_fails() {
    let options = ApiOptions { csrf: true, auth_string: None, ..ApiOptions::default() };
    let (api, _caller) = started(options).await;
    let run = claimed(&api, &json!({}));
    run_engine(&api, run, "broken").await;
    let stored = api.store().run(run).unwrap();
    assert_eq!(stored.state_names(), ["Scheduled", "Pending", "Running", "Failed"]);
    let message = stored.state().and_then(|state| state.message.clone()).unwrap_or_default();
    assert!(message.contains("boom"), "{message}");
}

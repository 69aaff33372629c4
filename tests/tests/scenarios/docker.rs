//! Runs as containers: the built worker, a Docker engine, and the API in memory or a real server.

use std::collections::BTreeMap;
use std::time::Duration;

use central_api_wire::state::StateType;
use docker_bed::{BUSYBOX, Engine, FLOWS};
use serde_json::{Map, Value, json};
use worker_core::ids::RunId;
use worker_tests::api::store::Store;
use worker_tests::harness::{
    DaemonSpec, DeploymentSpec, Lab, LabPool, PATIENT, PrefectServer, SOON, Sdk, repository_of, run_resource, until,
    workspace_root,
};

use crate::in_memory::InMemory;
use crate::marks::Marks;

/// A secret that must turn up nowhere but in the run.
const CANARY: &str = "canary-9c41f";

/// A new pool of type docker, with the template that the worker would give it.
async fn docker_pool(lab: &Lab) -> LabPool {
    let template = fs_err::read_to_string(workspace_root().join("infra-plugins/docker/src/template.json")).unwrap();
    let name = lab.fresh_name("docker-pool");
    lab.api.create_pool(&name, "docker", serde_json::from_str(&template).unwrap()).await;
    lab.pool_named(&name).await
}

/// Containers are removed when their runs are over, so that what is left is a leftover.
fn daemon(pool: &LabPool) -> DaemonSpec {
    let daemon = pool.daemon().env("WORKER_DOCKER_CLEANUP", "remove");
    match std::env::var_os("DOCKER_HOST") {
        Some(host) => daemon.env("DOCKER_HOST", host),
        None => daemon,
    }
}

/// Job variables of a command that makes marks and knows nothing of Prefect.
fn variables(marks: &Marks, command: &str, more: &Value) -> Map<String, Value> {
    let folder = marks.folder().to_str().unwrap();
    let mut variables = json!({
        "image": BUSYBOX, "network_mode": "none", "volumes": [format!("{folder}:{folder}")],
        "command": command, "report_state": "worker",
    });
    let variables = variables.as_object_mut().unwrap();
    variables.extend(more.as_object().unwrap().clone());
    variables.clone()
}

async fn run_with(pool: &LabPool, job_variables: Map<String, Value>) -> RunId {
    pool.run(pool.deployment(DeploymentSpec { job_variables, ..DeploymentSpec::default() }).await).await
}

/// The containers of a run.
fn containers(run: RunId) -> Vec<String> {
    let label = format!("label=io.prefect.flow-run-id={run}");
    let listed = Engine::shared().docker_ok(&["ps", "-aq", "--no-trunc", "--filter", &label]);
    listed.split_whitespace().map(str::to_owned).collect()
}

async fn no_container_is_left(run: RunId) {
    until(SOON, format!("the containers of run {run} to go"), async || containers(run).is_empty().then_some(())).await;
}

#[tokio::test]
async fn c097_a_command_runs_in_a_container_and_its_end_is_reported() {
    let it = InMemory::start().await;
    let (pool, marks) = (docker_pool(&it.lab).await, Marks::new());
    let command = marks.shell("echo to the log; echo ran >> marks");
    let run = run_with(&pool, variables(&marks, &command, &json!({"ship_output": true}))).await;
    let daemon = daemon(&pool).started().await;
    it.lab.reaches(run, StateType::Completed).await;
    it.lab.executed(run).await;
    assert_eq!(marks.made(), ["ran"]);
    daemon.stdout.wait_for("to the log", SOON).await;
    it.lab.logged(run, "to the log").await;
    it.lab.logged(run, "Started container").await;
    let pid = it.lab.run(run).await.infrastructure_pid.unwrap();
    assert!(pid.starts_with("http+docker://localhost:"), "{pid}");
    no_container_is_left(run).await;
}

#[tokio::test]
async fn c099_events_of_a_container_name_its_run_and_its_worker() {
    let it = InMemory::start().await;
    let (pool, marks) = (docker_pool(&it.lab).await, Marks::new());
    let run = run_with(&pool, variables(&marks, "true", &json!({}))).await;
    let _daemon = daemon(&pool).name("event-maker").started().await;
    it.lab.executed(run).await;
    let pid = it.lab.run(run).await.infrastructure_pid.unwrap();
    let resource = format!("prefect.docker.container.{}", pid.rsplit(':').next().unwrap());
    let mut before = None;
    for state in ["created", "running", "exited"] {
        let name = format!("prefect.docker.container.{state}");
        let event = it.lab.until(&name, async || it.lab.api.events(&name, &resource).await.pop()).await;
        assert_eq!(event.follows, before, "{state}");
        before = Some(event.id);
        let roles: Vec<_> = event.related.iter().map(|entry| entry["prefect.resource.role"].clone()).collect();
        assert_eq!(roles, ["deployment", "flow", "flow-run", "work-pool", "worker"], "{state}");
        let worker = event.related.last().unwrap();
        assert_eq!(worker["prefect.resource.id"], "prefect.worker.docker.event-maker");
        assert_eq!(worker["prefect.worker-type"], "docker");
    }
    let run =
        run_with(&pool, variables(&marks, "true", &json!({"container_create_kwargs": {"runtime": "none-such"}}))).await;
    it.lab.reaches(run, StateType::Crashed).await;
    let failed = "prefect.docker.container.creation-failed";
    let resource = "prefect.worker.docker.event-maker";
    let event = it.lab.until(failed, async || it.lab.api.events(failed, resource).await.pop()).await;
    assert!(event.related.iter().any(|entry| entry["prefect.resource.id"] == run_resource(run)));
}

#[tokio::test]
async fn c098_an_exit_code_crashes_its_run_with_the_last_words_of_the_container() {
    let it = InMemory::start().await;
    let (pool, marks) = (docker_pool(&it.lab).await, Marks::new());
    for stream_output in [true, false] {
        let more = &json!({"stream_output": stream_output, "report_state": "engine"});
        let run = run_with(&pool, variables(&marks, "sh -c 'echo what went wrong >&2; exit 9'", more)).await;
        let daemon = daemon(&pool).started().await;
        let message = it.lab.reaches(run, StateType::Crashed).await.message.unwrap();
        assert!(message.starts_with("Flow run infrastructure exited with non-zero status code 9."), "{message}");
        assert!(message.ends_with("its standard error ends with: what went wrong"), "{message}");
        no_container_is_left(run).await;
        drop(daemon);
    }
}

#[tokio::test]
async fn a_container_goes_on_while_its_worker_is_killed_and_is_reported_once() {
    let it = InMemory::start().await;
    let (pool, marks) = (docker_pool(&it.lab).await, Marks::new());
    let run = run_with(&pool, variables(&marks, &marks.held_command(0), &json!({}))).await;
    let first = daemon(&pool).name("steady").started().await;
    it.lab.reaches(run, StateType::Running).await;
    marks.count(1).await;
    let home = first.kill().await;
    let second = daemon(&pool).name("steady").spawn_in(home);
    second.stderr.wait_for("Taking over 1 runs", SOON).await;
    marks.release();
    it.lab.reaches(run, StateType::Completed).await;
    assert_eq!(it.lab.history(run).await, ["Scheduled", "Pending", "Submitting", "Running", "Completed"]);
    assert_eq!(marks.made(), ["started"]);
    no_container_is_left(run).await;
}

/// Where the worker dies in the middle of a launch, the next one finishes what it began, once.
#[tokio::test]
async fn a_worker_that_dies_around_a_launch_starts_nothing_twice() {
    for point in ["launch.persisted", "launched.persisted", "report.persisted", "cleanup.persisted"] {
        let it = InMemory::start().await;
        let (pool, marks) = (docker_pool(&it.lab).await, Marks::new());
        let run = run_with(&pool, variables(&marks, &marks.command("ran"), &json!({}))).await;
        let mut first = daemon(&pool).name("steady").env("WORKER_FAILPOINT", point).spawn();
        first.exited(SOON).await;
        let home = first.kill().await;
        let _second = daemon(&pool).name("steady").spawn_in(home);
        it.lab.reaches(run, StateType::Completed).await;
        assert_eq!(marks.made(), ["ran"], "{point}");
        no_container_is_left(run).await;
    }
}

#[tokio::test]
async fn a_command_in_a_container_is_cancelled_by_the_worker() {
    let it = InMemory::start().await;
    let (pool, marks) = (docker_pool(&it.lab).await, Marks::new());
    let run = run_with(&pool, variables(&marks, &marks.endless_command(), &json!({}))).await;
    let _daemon = daemon(&pool).started().await;
    it.lab.reaches(run, StateType::Running).await;
    marks.count(1).await;
    it.lab.cancel(run).await;
    it.lab.reaches(run, StateType::Cancelled).await;
    no_container_is_left(run).await;
}

#[tokio::test]
async fn a_stopping_worker_leaves_its_containers_to_the_next_one() {
    let it = InMemory::start().await;
    let (pool, marks) = (docker_pool(&it.lab).await, Marks::new());
    let run = run_with(&pool, variables(&marks, &marks.held_command(0), &json!({}))).await;
    // In a container processes end with the worker; what the engine runs does not.
    let daemon = || daemon(&pool).name("steady").env("container", "yes");
    let mut first = daemon().started().await;
    it.lab.reaches(run, StateType::Running).await;
    marks.count(1).await;
    assert!(first.stop().await.success());
    let _second = daemon().spawn_in(first.kill().await);
    marks.release();
    it.lab.reaches(run, StateType::Completed).await;
    assert_eq!(marks.made(), ["started"]);
}

#[tokio::test]
async fn fifty_containers_run_side_by_side() {
    let it = InMemory::start().await;
    let (pool, marks) = (docker_pool(&it.lab).await, Marks::new());
    let command = marks.shell("echo ran >> marks; while ! test -e released; do sleep 0.5; done");
    let job_variables = variables(&marks, &command, &json!({}));
    let deployment = pool.deployment(DeploymentSpec { job_variables, ..DeploymentSpec::default() }).await;
    let mut runs = Vec::new();
    for _ in 0..50 {
        runs.push(pool.run(deployment).await);
    }
    let _daemon = daemon(&pool).env("WORKER_ADMISSION_ENABLED", "false").started().await;
    until(Duration::from_mins(3), "50 live containers", async || (marks.made().len() == 50).then_some(())).await;
    marks.release();
    for run in runs {
        it.lab.reaches_within(run, StateType::Completed, PATIENT).await;
    }
    assert_eq!(marks.made().len(), 50);
}

/// The paths and bodies of everything that was sent to the API.
fn said_to_the_api(store: &Store) -> String {
    store.read(|tables| {
        let said = tables.requests().iter().map(|it| {
            format!(
                "{} {}
{}",
                it.path, it.query, it.body
            )
        });
        said.collect::<Vec<_>>().join(
            "
",
        )
    })
}

#[tokio::test]
async fn no_secret_is_shown_by_docker_or_said_to_the_api() {
    let it = InMemory::start().await;
    let (pool, marks) = (docker_pool(&it.lab).await, Marks::new());
    let command = marks.shell("echo $PREFECT_API_KEY >> marks; while ! test -e released; do sleep 0.05; done; exit 3");
    let run = run_with(&pool, variables(&marks, &command, &json!({"report_state": "engine"}))).await;
    let mut daemon = daemon(&pool).env("PREFECT_API_KEY", CANARY).started().await;
    marks.count(1).await;
    assert_eq!(marks.made(), [CANARY]);
    let inspected = Engine::shared().docker_ok(&["inspect", &containers(run)[0]]);
    assert!(!inspected.contains(CANARY), "{inspected}");
    marks.release();
    it.lab.reaches(run, StateType::Crashed).await;
    it.lab.executed(run).await;
    no_container_is_left(run).await;
    daemon.stop().await;
    let written = [daemon.stderr.lines(), daemon.stdout.lines()].concat().join("\n");
    assert!(!written.contains(CANARY), "{written}");
    let said = said_to_the_api(it.store());
    assert!(!said.contains(CANARY), "{said}");
}

#[tokio::test]
async fn without_an_engine_runs_crash_with_what_to_do_and_other_pools_are_served() {
    let it = InMemory::start().await;
    let (docker, process, marks) = (docker_pool(&it.lab).await, it.lab.pool().await, Marks::new());
    let crashed = run_with(&docker, variables(&marks, "true", &json!({}))).await;
    let well = process.run(process.command(&marks.command("ran")).await).await;
    let _daemon =
        docker.daemon().pool(&process.name).env("DOCKER_HOST", "unix:///nonexistent/docker.sock").started().await;
    it.lab.reaches(well, StateType::Completed).await;
    let message = it.lab.reaches_within(crashed, StateType::Crashed, PATIENT).await.message.unwrap();
    assert!(message.contains("Could not connect to Docker at unix:///nonexistent/docker.sock"), "{message}");
    it.lab.logged(crashed, "DOCKER_HOST").await;
}

/// Flows of the unmodified SDK in containers, with a real server.
pub(crate) async fn flows_in_containers(server: &PrefectServer) {
    let lab = Lab::on_server(server.rest.api_url());
    let (pool, sdk, marks) = (docker_pool(&lab).await, Sdk::new(lab.api.api_url()), Marks::new());
    let folder = workspace_root().join("tests/flows");
    let (folder, notes) = (folder.to_str().unwrap(), marks.folder().to_str().unwrap());
    let volumes = json!([format!("{folder}:{folder}:ro"), format!("{notes}:{notes}")]);
    let more = json!({"image": FLOWS, "volumes": volumes, "env": {"NOTES": notes}});
    let variables: Map<String, Value> = more.as_object().unwrap().clone();
    let local = sdk.deploy(folder, &pool.name, variables.clone(), &["succeeds", "fails", "sleeps"]).await;
    let _daemon = daemon(&pool).env("PREFECT_WORKER_ENABLE_CANCELLATION", "true").started().await;

    let run = pool.run(local["succeeds"]).await;
    lab.reaches(run, StateType::Completed).await;
    lab.executed(run).await;
    let run = pool.run(local["fails"]).await;
    lab.reaches(run, StateType::Failed).await;

    // The supervisor in the container ends its flow itself.
    let run = pool.run(local["sleeps"]).await;
    until(PATIENT, "the flow to sleep", async || marks.path("sleeping").exists().then_some(())).await;
    lab.cancel(run).await;
    lab.reaches(run, StateType::Cancelled).await;
    no_container_is_left(run).await;

    mounted_code(&lab, &sdk, variables).await;
}

/// Code that the worker has checked out runs in an image without git.
async fn mounted_code(lab: &Lab, sdk: &Sdk, mut variables: Map<String, Value>) {
    let pool = docker_pool(lab).await;
    let repository = tempfile::tempdir().unwrap();
    let address = repository_of(&workspace_root().join("tests/flows"), repository.path());
    variables.remove("volumes");
    variables.insert("env".to_owned(), json!({}));
    variables.insert("mount_code".to_owned(), json!(true));
    let deployed: BTreeMap<_, _> = sdk.deploy(&address, &pool.name, variables, &["succeeds"]).await;
    let _daemon = daemon(&pool).started().await;
    let run = pool.run(deployed["succeeds"]).await;
    lab.reaches(run, StateType::Completed).await;
    lab.logged(run, "the code is in place: ").await;
    no_container_is_left(run).await;
}

#[tokio::test]
async fn a_container_that_runs_is_compared_with_what_would_be_launched_now() {
    let it = InMemory::start().await;
    let (pool, marks) = (docker_pool(&it.lab).await, Marks::new());
    let more = json!({"env": {"A": "1", "API_TOKEN": CANARY}, "mem_limit": "64m", "labels": {"team": "x"}});
    let run = run_with(&pool, variables(&marks, &marks.endless_command(), &more)).await;
    let worker = daemon(&pool).started().await;
    it.lab.reaches(run, StateType::Running).await;
    let diff = || {
        let spec = daemon(&pool).instead(["render", "--diff", "--flow-run", &run.to_string()]);
        // A setting that runs are handed.
        spec.env("PREFECT_HOME", worker.home().join("prefect"))
    };
    let same = diff().finish().await;
    assert_eq!((same.status.code(), same.stdout.as_str()), (Some(0), "nothing differs"), "{}", same.stderr);

    let template = it.lab.api.pool(&pool.name).await.unwrap().base_job_template;
    let mut template = Value::Object(template);
    template["job_configuration"]["env"] = json!({"B": "2"});
    template["job_configuration"]["mem_limit"] = "32m".into();
    it.lab.api.update_pool(&pool.name, json!({"base_job_template": template})).await;
    let changed = diff().finish().await;
    assert_eq!(changed.status.code(), Some(1), "{}", changed.stderr);
    for part in ["container.Env.B\n- null\n+ \"2\"", "container.HostConfig.Memory\n- 67108864\n+ 33554432"] {
        assert!(changed.stdout.contains(part), "{part}: {}", changed.stdout);
    }
    assert!(!changed.stdout.contains(CANARY), "{}", changed.stdout);
    it.lab.cancel(run).await;
    it.lab.reaches(run, StateType::Cancelled).await;
    no_container_is_left(run).await;
}

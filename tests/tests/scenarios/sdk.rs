//! Real flows of the unmodified Prefect SDK, on a real Prefect server.

use std::collections::BTreeMap;
use std::path::Path;

use central_api_wire::state::{State, StateType};
use jiff::{SignedDuration, Timestamp};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value, json};
use worker_core::ids::{BlockDocumentId, DeploymentId, RunId};
use worker_tests::harness::{
    Daemon, DaemonSpec, DeploymentSpec, Lab, LabPool, PATIENT, PrefectServer, RunSpec, SOON, Sdk, repository_of, until,
    workspace_root,
};
use worker_tests::lane;

use crate::marks::Marks;

const FLOWS: &[&str] =
    &["succeeds", "with_tasks", "fails", "exits_hard", "calls_sys_exit", "sleeps", "hangs", "suspends"];

/// A server with deployed flows and a worker for them.
struct Flows {
    lab: Lab,
    pool: LabPool,
    sdk: Sdk,
    notes: Marks,
    deployments: BTreeMap<String, DeploymentId>,
    daemon: Daemon,
}

impl Flows {
    async fn on(server: &PrefectServer) -> Self {
        Self::with_grace(server, "30").await
    }

    /// The seconds that a flow has to end when it is cancelled.
    async fn with_grace(server: &PrefectServer, seconds: &str) -> Self {
        Self::with(server, &[("WORKER_PROCESS_KILL_GRACE_SECONDS", seconds)]).await
    }

    /// A worker with these variables.
    async fn with(server: &PrefectServer, variables: &[(&str, &str)]) -> Self {
        let lab = Lab::on_server(server.rest.api_url());
        let (pool, sdk, notes) = (lab.pool().await, Sdk::new(lab.api.api_url()), Marks::new());
        let folder = workspace_root().join("tests/flows");
        let deployments = sdk.deploy(text(&folder), &pool.name, self::variables(&notes), FLOWS).await;
        let spec = pool.daemon().with_python().env("WORKER_PROCESS_KILL_GRACE_SECONDS", "30");
        let spec = variables.iter().fold(spec, |spec, (name, value)| spec.env(name, value));
        let daemon = spec.started().await;
        Self { lab, pool, sdk, notes, deployments, daemon }
    }

    async fn run(&self, flow: &str) -> RunId {
        self.pool.run(self.deployments[flow]).await
    }

    /// Runs a flow to its end.
    async fn ended(&self, flow: &str) -> (State, Vec<String>) {
        let run = self.run(flow).await;
        let state = self.lab.ends(run, PATIENT).await;
        self.lab.executed(run).await;
        (state, self.lab.history(run).await)
    }

    async fn sleeping(&self) -> RunId {
        self.started("sleeps").await
    }

    /// A run of a flow that says when it has started, and does not end.
    async fn started(&self, flow: &str) -> RunId {
        let run = self.run(flow).await;
        until(PATIENT, "the flow to sleep", async || self.notes.path("sleeping").exists().then_some(())).await;
        fs_err::remove_file(self.notes.path("sleeping")).unwrap();
        run
    }

    /// How often hooks of a kind ran for a run.
    fn hooks(&self, kind: &str, run: RunId) -> usize {
        fs_err::read_to_string(self.notes.path(&format!("{kind}-{run}"))).map_or(0, |noted| noted.lines().count())
    }

    /// Waits until hooks of a kind have run.
    async fn hooked(&self, kind: &str, run: RunId) {
        let what = format!("the {kind} hooks of run {run}");
        until(PATIENT, what, async || (self.hooks(kind, run) > 0).then_some(())).await;
        self.lab.executed(run).await;
    }

    /// Waits until no process of any run is left.
    async fn all_processes_gone(&self) {
        until(SOON, "the end of all processes", async || no_runs_of(&self.daemon).then_some(())).await;
    }

    /// Cancels a run: it becomes Cancelled, its cancellation hooks run once and no others, and no process is left.
    async fn is_cancelled_with_its_hooks_once(&self, run: RunId) {
        self.lab.cancel(run).await;
        self.lab.reaches(run, StateType::Cancelled).await;
        self.hooked("cancelled", run).await;
        self.all_processes_gone().await;
        assert_eq!((self.hooks("cancelled", run), self.hooks("crashed", run)), (1, 0));
    }
}

/// Whether a daemon has no process but what runs are forked from.
fn no_runs_of(daemon: &Daemon) -> bool {
    let is_zygote =
        |pid: &i32| fs_err::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(b"worker-warmpool\0"));
    daemon.offspring().iter().all(is_zygote)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn variables(notes: &Marks) -> Map<String, Value> {
    Map::from_iter([("env".to_owned(), json!({"NOTES": notes.folder()}))])
}

const STARTED: [&str; 4] = ["Scheduled", "Pending", "Submitting", "Running"];

async fn a_flow_completes(flows: &Flows) {
    for flow in ["succeeds", "with_tasks"] {
        let (_, history) = flows.ended(flow).await;
        assert_eq!(history, [&STARTED[..], &["Completed"]].concat(), "{flow}");
    }
}

async fn c083_a_failed_flow_is_not_reported_as_crashed(flows: &Flows) {
    let (state, history) = flows.ended("fails").await;
    assert_eq!(history, [&STARTED[..], &["Failed"]].concat());
    assert!(state.message.unwrap().contains("this flow fails on purpose"));
}

async fn a_process_that_exits_under_a_flow_crashes_the_run(flows: &Flows) {
    let (state, _) = flows.ended("exits_hard").await;
    assert_eq!(state.state_type, StateType::Crashed);
    assert!(state.message.unwrap().starts_with("Process exited with status code: 3."));
    let (state, history) = flows.ended("calls_sys_exit").await;
    assert_eq!(state.state_type, StateType::Crashed, "{history:?}");
}

async fn a_flow_that_cannot_be_imported_crashes_the_run(flows: &Flows) {
    let pull_steps = Some(json!([{"prefect.deployments.steps.set_working_directory":
        {"directory": workspace_root().join("tests/flows")}}]));
    let spec = DeploymentSpec {
        pull_steps,
        entrypoint: Some("broken_import.py:unreachable".to_owned()),
        ..DeploymentSpec::default()
    };
    let run = flows.pool.run(flows.pool.deployment(spec).await).await;
    let state = flows.lab.ends(run, PATIENT).await;
    assert_eq!(state.state_type, StateType::Crashed);
    assert!(!flows.lab.history(run).await.contains(&"Running".to_owned()));
}

async fn a_flow_is_cloned_from_git(flows: &Flows) {
    let repository = tempfile::tempdir().unwrap();
    let address = repository_of(&workspace_root().join("tests/flows"), repository.path());
    let deployed = flows.sdk.deploy(&address, &flows.pool.name, Map::new(), &["succeeds"]).await;
    let run = flows.pool.run(deployed["succeeds"]).await;
    flows.lab.reaches(run, StateType::Completed).await;
    let labels = flows.lab.run(run).await.labels.unwrap();
    let code = labels["worker.code"].as_str().unwrap();
    assert!(code.starts_with(&format!("{address} at ")), "{code}");
    let kept = cache(flows, &["list", "--json"]).await;
    let kept: Vec<Value> = serde_json::from_str(&kept).unwrap();
    for kind in ["git", "checkout"] {
        assert!(kept.iter().any(|entry| entry["kind"] == kind && entry["source"] == address), "{kind}: {kept:?}");
    }
    assert!(cache(flows, &["verify"]).await.contains("all are whole"));
    assert!(cache(flows, &["prune", "--max-size", "0"]).await.contains("Removed 2 entries"));
    assert_eq!(cache(flows, &["list"]).await.trim(), "0 entries, 0.0 MiB");
    // The repository is gone for the next run: an error for its author, and nothing worse.
    drop(repository);
    let run = flows.pool.run(deployed["succeeds"]).await;
    flows.lab.ends(run, PATIENT).await;
    assert_ne!(flows.lab.history(run).await.last().unwrap(), "Completed");
}

/// A flow that succeeds, of a deployment without pull steps, and what its run is labelled with.
async fn of_storage(flows: &Flows, path: Option<&str>, storage_block: Option<BlockDocumentId>) -> (RunId, String) {
    let entrypoint = Some("flows.py:succeeds".to_owned());
    let spec = DeploymentSpec { path: path.map(str::to_owned), storage_block, entrypoint, ..DeploymentSpec::default() };
    let run = flows.pool.run(flows.pool.deployment(spec).await).await;
    flows.lab.reaches(run, StateType::Completed).await;
    let labels = flows.lab.run(run).await.labels.unwrap();
    (run, labels.get("worker.code").and_then(Value::as_str).unwrap_or_default().to_owned())
}

async fn the_code_of_a_deployment_without_pull_steps_is_brought_by_the_worker(flows: &Flows) {
    let folder = workspace_root().join("tests/flows");
    let name = flows.lab.fresh_name("flows");
    let block = flows.lab.api.create_block("local-file-system", &name, json!({"basepath": workspace_root()})).await;
    for (path, block) in [("tests/flows", Some(block)), (text(&folder), None)] {
        let (run, code) = of_storage(flows, Some(path), block).await;
        assert!(code.starts_with(&format!("{} at ", text(&folder))), "{path}: {code}");
        flows.lab.logged(run, "The worker fetched the deployment's code from its storage").await;
    }
    // What this block leaves out only Python knows.
    let folder = tempfile::tempdir().unwrap();
    fs_err::copy(workspace_root().join("tests/flows/flows.py"), folder.path().join("flows.py")).unwrap();
    fs_err::write(folder.path().join(".prefectignore"), "*.txt\n").unwrap();
    let name = flows.lab.fresh_name("flows");
    let block = flows.lab.api.create_block("local-file-system", &name, json!({"basepath": folder.path()})).await;
    let (run, code) = of_storage(flows, None, Some(block)).await;
    assert_eq!(code, "");
    flows.lab.logged(run, "The flow's own process fetches its code: ").await;
}

/// What `worker cache` says of the daemon's.
async fn cache(flows: &Flows, args: &[&str]) -> String {
    let spec = DaemonSpec::bare().env("WORKER_STATE_DIR", flows.daemon.path("state"));
    let done = spec.arg("cache").args(args).finish().await;
    assert!(done.status.success(), "{args:?}: {}", done.stderr);
    done.stdout
}

/// A flow that succeeds after a step, and another to where it is.
async fn after_a_step(flows: &Flows, step: Value) -> RunId {
    let folder = workspace_root().join("tests/flows");
    let enter = json!({"prefect.deployments.steps.set_working_directory": {"directory": folder}});
    let spec = DeploymentSpec {
        pull_steps: Some(json!([step, enter])),
        entrypoint: Some("flows.py:succeeds".to_owned()),
        ..DeploymentSpec::default()
    };
    let run = flows.pool.run(flows.pool.deployment(spec).await).await;
    flows.lab.reaches(run, StateType::Completed).await;
    run
}

async fn a_script_of_the_pull_steps_is_run_by_the_worker(flows: &Flows) {
    let script = json!({"prefect.deployments.steps.run_shell_script": {"script": "echo pulled"}});
    let run = after_a_step(flows, script).await;
    flows.lab.logged(run, "pulled").await;
    flows.lab.logged(run, "The worker ran the deployment's 2 pull steps").await;
}

/// A step that only Python can do is left to the engine.
async fn other_pull_steps_are_left_to_the_engine(flows: &Flows) {
    let run = after_a_step(flows, json!({"builtins.dict": {"key": "value"}})).await;
    flows.lab.logged(run, "`builtins.dict` is Python code").await;
}

async fn a_future_flow_starts_on_time(flows: &Flows) {
    let due = Timestamp::now() + SignedDuration::from_secs(8);
    let spec = RunSpec { due: Some(due), ..RunSpec::default() };
    let run = flows.lab.api.create_run(flows.deployments["succeeds"], spec).await;
    let claimed = flows.lab.reaches(run, StateType::Pending).await;
    assert!(claimed.timestamp < Some(due));
    flows.lab.reaches(run, StateType::Completed).await;
    let states = flows.lab.api.states(run).await;
    let running = states.iter().find(|state| state.state_type == StateType::Running).unwrap();
    // The server counts the delay in whole seconds, so the engine may be a little early.
    assert!(running.timestamp.unwrap() > due - SignedDuration::from_millis(1200), "{running:?}");
}

async fn c122_a_cancelled_flow_runs_its_hooks_and_never_crashes(flows: &Flows) {
    let run = flows.sleeping().await;
    flows.lab.cancel(run).await;
    flows.lab.reaches(run, StateType::Cancelled).await;
    flows.all_processes_gone().await;
    let history = flows.lab.history(run).await;
    assert!(!history.contains(&"Crashed".to_owned()), "{history:?}");
    assert_eq!((flows.hooks("cancelled", run), flows.hooks("crashed", run)), (1, 0));
}

/// The engine is gone before it can do anything: its hooks are run beside it, once the state is settled.
async fn the_crash_hooks_of_a_flow_that_was_killed_run_once(flows: &Flows) {
    let run = flows.sleeping().await;
    let pid = flows.lab.until("the pid", async || flows.lab.run(run).await.infrastructure_pid).await;
    let pid = pid.parse().ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    let state = flows.lab.reaches(run, StateType::Crashed).await;
    assert!(state.message.unwrap().starts_with("Process exited with status code: -9."));
    flows.hooked("crashed", run).await;
    flows.all_processes_gone().await;
    assert_eq!((flows.hooks("crashed", run), flows.hooks("cancelled", run)), (1, 0));
}

/// The engine acknowledges the cancellation, and the flow's own code does not let it come to its hooks.
async fn the_cancellation_hooks_of_a_flow_that_hangs_run_once(flows: &Flows) {
    let run = flows.started("hangs").await;
    flows.is_cancelled_with_its_hooks_once(run).await;
    let history = flows.lab.history(run).await;
    assert_eq!(history.iter().filter(|name| *name == "Cancelled").count(), 1, "{history:?}");
}

/// The control session is the supervisor's, so the engine is still told of a cancellation by a worker that never saw it
/// connect.
pub(crate) async fn a_flow_whose_worker_was_killed_is_cancelled_by_the_next(server: &PrefectServer) {
    let mut flows = Flows::on(server).await;
    let run = flows.sleeping().await;
    flows.lab.until("the pid", async || flows.lab.run(run).await.infrastructure_pid).await;
    let spec = flows.pool.daemon().with_python();
    let next = spec.spawn_in(flows.daemon.kill().await);
    next.stdout.wait_for(" started!", PATIENT).await;
    flows.daemon = next;
    flows.is_cancelled_with_its_hooks_once(run).await;
    let history = flows.lab.history(run).await;
    assert!(!history.contains(&"Crashed".to_owned()), "{history:?}");
}

async fn cancelling_from_prefects_command_line_leaves_no_process(flows: &Flows) {
    let run = flows.sleeping().await;
    flows.sdk.run("prefect", &["flow-run", "cancel", &run.to_string()]).await;
    flows.lab.reaches(run, StateType::Cancelled).await;
    flows.all_processes_gone().await;
}

/// A suspended flow leaves no process; the resumed run is a new submission under the same id.
async fn a_suspended_flow_is_resumed(flows: &Flows) {
    let run = flows.run("suspends").await;
    flows.lab.reaches(run, StateType::Paused).await;
    flows.all_processes_gone().await;
    let first = flows.lab.run(run).await.infrastructure_pid;
    flows.lab.api.resume(run).await;
    flows.lab.reaches(run, StateType::Completed).await;
    let history = flows.lab.history(run).await;
    let expected = [&STARTED[..], &["Suspended", "Resuming", "Pending", "Submitting", "Running", "Completed"]].concat();
    assert_eq!(history, expected);
    assert_ne!(flows.lab.run(run).await.infrastructure_pid, first);
}

pub(crate) async fn flows(server: &PrefectServer) {
    let flows = &Flows::on(server).await;
    lane!(
        flows,
        [
            a_flow_completes,
            c083_a_failed_flow_is_not_reported_as_crashed,
            a_process_that_exits_under_a_flow_crashes_the_run,
            a_flow_that_cannot_be_imported_crashes_the_run,
            a_flow_is_cloned_from_git,
            the_code_of_a_deployment_without_pull_steps_is_brought_by_the_worker,
            a_script_of_the_pull_steps_is_run_by_the_worker,
            other_pull_steps_are_left_to_the_engine,
            a_future_flow_starts_on_time,
        ]
    );
}

pub(crate) async fn stopped_flows(server: &PrefectServer) {
    let flows = &Flows::on(server).await;
    lane!(
        flows,
        [
            c122_a_cancelled_flow_runs_its_hooks_and_never_crashes,
            cancelling_from_prefects_command_line_leaves_no_process,
            a_suspended_flow_is_resumed,
            the_crash_hooks_of_a_flow_that_was_killed_run_once,
        ]
    );
}

/// The same with runs that are forked.
pub(crate) async fn warm_flows(server: &PrefectServer) {
    let flows = &Flows::with(server, &[("WORKER_PROCESS_WARM", "auto")]).await;
    lane!(
        flows,
        [
            a_flow_completes,
            c083_a_failed_flow_is_not_reported_as_crashed,
            a_process_that_exits_under_a_flow_crashes_the_run,
            a_flow_that_cannot_be_imported_crashes_the_run,
            a_flow_is_cloned_from_git,
            the_code_of_a_deployment_without_pull_steps_is_brought_by_the_worker,
            other_pull_steps_are_left_to_the_engine,
            c122_a_cancelled_flow_runs_its_hooks_and_never_crashes,
            a_suspended_flow_is_resumed,
            the_crash_hooks_of_a_flow_that_was_killed_run_once,
            the_zygote_was_used,
        ]
    );
}

async fn the_zygote_was_used(flows: &Flows) {
    assert!(flows.daemon.stderr.has("flow runs start warm"));
}

/// Flows that have to be killed.
pub(crate) async fn stubborn_flows(server: &PrefectServer) {
    let flows = &Flows::with_grace(server, "2").await;
    lane!(flows, [the_cancellation_hooks_of_a_flow_that_hangs_run_once]);
}

/// Many runs at once of the example deployments all end as they should.
pub(crate) async fn many_flows_at_once(server: &PrefectServer) {
    let lab = Lab::on_server(server.rest.api_url());
    let (pool, sdk) = (lab.pool().await, Sdk::new(lab.api.api_url()));
    let repository = tempfile::tempdir().unwrap();
    let address = repository_of(&workspace_root().join("examples/flows"), repository.path());
    sdk.run("python", &[text(&workspace_root().join("examples/deploy.py")), &address, &pool.name]).await;
    // More at a time make the server's database, a file, block its writers for a minute now and then.
    let _daemon = pool.daemon().with_python().args(["--limit", "2"]).started().await;
    let expected = [("hello", StateType::Completed), ("etl", StateType::Completed), ("fails", StateType::Failed)];
    let mut runs = Vec::new();
    for (flow, state_type) in expected.into_iter().cycle().take(RUNS) {
        let deployment: DeploymentId = lab.api.deployment_named(flow, "quickstart").await;
        runs.push((pool.run(deployment).await, flow, state_type));
    }
    for (run, flow, state_type) in runs {
        let state = lab.ends(run, MANY).await;
        let log = async || lab.api.logs(run).await.into_iter().map(|line| line.message).collect::<Vec<_>>().join("\n");
        assert!(state.state_type == state_type, "{flow}: {:?}: {:?}\n{}", state.state_type, state.message, log().await);
    }
}

const RUNS: usize = 50;
const MANY: std::time::Duration = std::time::Duration::from_mins(5);
